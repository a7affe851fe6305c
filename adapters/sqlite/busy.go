package sqlite

import (
	"slices"
	"sync"
	"time"

	"github.com/stemd/stem"
)

// probeAgain is how old a look at the queues may be for a claim to do without one. A task that becomes due meanwhile, or that
// another process publishes to a queue that was empty, waits at most that much longer; what this process publishes does not.
const probeAgain = 5 * time.Millisecond

// busy remembers a claim that got all it asked for, so that the next one like it takes without looking first. It is safe for
// concurrent use.
type busy struct {
	mu     sync.Mutex
	claim  []stem.QueueLimit
	queues []wanted // of its look, those that held something
	probed int64    // store's clock, µs; 0: none
	forgot int      // how often
}

// recent gives the queues of the last look if it was for a claim of the same queues and is recent. Nothing in them is to be
// promoted: that claim did.
func (b *busy) recent(c stem.Claim, now int64) []wanted {
	b.mu.Lock()
	defer b.mu.Unlock()
	if age := now - b.probed; age < 0 || age > probeAgain.Microseconds() || !slices.EqualFunc(b.claim, c.Queues, sameQueue) {
		return nil
	}
	out := make([]wanted, 0, len(b.queues))
	for _, q := range b.queues {
		i := slices.IndexFunc(c.Queues, func(l stem.QueueLimit) bool { return l.Queue == q.name })
		out = append(out, wanted{id: q.id, name: q.name, limit: c.Queues[i].Limit})
	}
	return out
}

// look is where a claim that looks begins.
func (b *busy) look() (forgot int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.forgot
}

// took notes whether a claim that looked at probed got all it asked for.
func (b *busy) took(c stem.Claim, queues []wanted, probed int64, forgot int, filled bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case filled && forgot == b.forgot:
		b.claim, b.queues, b.probed = c.Queues, queues, probed
	case slices.EqualFunc(b.claim, c.Queues, sameQueue):
		b.probed = 0
	}
}

// forget makes the next claim look.
func (b *busy) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probed = 0
	b.forgot++
}

func sameQueue(x, y stem.QueueLimit) bool { return x.Queue == y.Queue }
