package worker

import (
	"maps"
	"sync"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// Event is one settlement as it was decided, for telemetry. It says what is meant to be written, not that it was.
type Event struct {
	Pool    string // empty: the task was in no pool's queue
	ID      string
	Name    string
	Queue   string
	Attempt int // 0-based
	Kind    stem.Kind
	Reason  string     // of a dead letter
	Class   stem.Class // how the attempt ended other than well; empty: well, or none was made
	// Started and Finished are those of the attempt; zero: none was made. Enqueued is when the store took the task.
	Enqueued, Started, Finished time.Time
}

// Late is an attempt that has passed its soft limit and goes on.
type Late struct {
	Pool       string
	ID         string
	Name       string
	Queue      string
	Attempt    int           // 0-based
	Soft, Hard time.Duration // its limits; Hard 0: none
}

// observe counts the end of an attempt by its class and passes it on.
func (w *Worker) observe(a *attempt, o *plugin.Outcome, s *stem.Settlement) {
	class := ended(o)
	if class != "" {
		w.classes.add(class)
	}
	if w.cfg.Observe == nil {
		return
	}
	d := &a.delivery
	e := Event{
		ID: d.ID, Name: d.Name, Queue: d.Queue, Attempt: d.State.Attempt, Kind: s.Kind, Reason: s.Reason, Class: class,
		Enqueued: d.State.Created, Started: o.Started, Finished: o.Finished,
	}
	if a.pool != nil {
		e.Pool = a.pool.Name
	}
	w.cfg.Observe(e)
}

// ended is the class of an attempt that was made and did not end well.
func ended(o *plugin.Outcome) stem.Class {
	if o.Error == nil || o.Kind == plugin.Success || o.Kind == plugin.NotRun && o.Started.IsZero() || o.Snooze > 0 {
		return ""
	}
	return o.Error.Class
}

// classCounts counts attempts by class. Successes are not among them, so a lock does.
type classCounts struct {
	mu sync.Mutex
	n  map[stem.Class]uint64
}

func (c *classCounts) add(class stem.Class) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[stem.Class]uint64{}
	}
	c.n[class]++
}

func (c *classCounts) snapshot() map[stem.Class]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}
