package memory

import (
	"context"
	"slices"
	"time"

	"github.com/stemd/stem"
)

// watcher is one Watch. Its channel holds the latest status that was not read yet; only core writes to it, under the lock.
type watcher struct {
	ch   chan stem.Status
	stop func() bool // ends the wait for its context
}

// Watch implements stem.Results.
func (r *results) Watch(ctx context.Context, id string) (<-chan stem.Status, error) {
	now, err := r.enter()
	if err != nil {
		return nil, wrap("watch", err)
	}
	defer r.mu.Unlock()
	e, w := r.entry(id), &watcher{ch: make(chan stem.Status, 1)}
	e.watchers = append(e.watchers, w)
	w.stop = context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.unwatch(e, w)
	})
	if s, ok := e.status(now); ok {
		r.show(e, w, s)
	}
	return w.ch, nil
}

// tell shows an entry's status to its watchers.
func (c *core) tell(e *entry, now time.Time) {
	if s, ok := e.status(now); ok {
		for _, w := range slices.Clone(e.watchers) {
			c.show(e, w, s)
		}
	}
}

func (c *core) show(e *entry, w *watcher, s stem.Status) {
	select {
	case <-w.ch: // nobody read the one before
	default:
	}
	w.ch <- s
	if s.State.Terminal() {
		c.unwatch(e, w)
	}
}

// unwatch ends a watch; what it holds can still be read.
func (c *core) unwatch(e *entry, w *watcher) {
	i := slices.Index(e.watchers, w)
	if i < 0 {
		return
	}
	e.watchers = slices.Delete(e.watchers, i, i+1)
	w.stop()
	close(w.ch)
	c.tidy(e)
}
