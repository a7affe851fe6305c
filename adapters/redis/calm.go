package redis

import (
	"strings"
	"sync"
	"time"
)

// calm remembers of which queues a claim has just found nothing, or nothing more, so that the next one waits at once: each would look before its wait, at
// what the last one has seen behind its own. A ring that came between them is kept by the bell. The zero value remembers nothing; it is
// safe for concurrent use.
type calm struct {
	mu    sync.Mutex
	found map[string]nothing // by the names of the queues
}

// nothing is what a claim found.
type nothing struct {
	at   time.Time
	next time.Duration // in which there may be something
	due  bool          // something becomes due then
}

// calmMax is how many claims are remembered: a process has one for each pool and subscription.
const calmMax = 64

// note remembers a claim that ended with nothing.
func (c *calm) note(queues []string, next time.Duration, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil || len(c.found) >= calmMax {
		c.found = map[string]nothing{}
	}
	c.found[strings.Join(queues, "\n")] = nothing{time.Now(), next, due}
}

// take gives in what time there may be something in queues, and whether it becomes due then, and forgets it; not ok: that is not known, or long ago.
func (c *calm) take(queues []string) (next time.Duration, due, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.Join(queues, "\n")
	last, ok := c.found[key]
	delete(c.found, key)
	since := time.Since(last.at)
	return last.next - since, last.due, ok && since < min(calmFor, last.next)
}

// afterSome is for how long a claim that took all there was has the next one wait for the bell before it looks: with tasks that come one by one
// it would look, in vain, just when the last one is on its way to its handler. Whoever takes a task, or books one, rings for what is due or will be
// soon.
const afterSome = 30 * time.Millisecond

// calmFor is how long what a claim found is relied on: who comes later looks first.
const calmFor = time.Second
