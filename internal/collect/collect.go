// Package collect batches: many small calls become few large ones.
package collect

import (
	"context"
	"sync"
)

// Collector turns many small calls into few large ones without adding latency: the first item goes at once, the rest gather
// while one call is in flight and go together when it returns. There is no timer. It is safe for concurrent use.
type Collector[T, R any] struct {
	limit int
	do    func([]T) ([]R, error)

	mu      sync.Mutex
	waiting []pending[T, R]
	busy    bool
	idle    sync.Cond // signalled when busy becomes false
}

type pending[T, R any] struct {
	item T
	done func(R, error)
}

// NewCollector makes a collector whose do gets up to limit items (≥ 1) and returns one result per item, or an error for all.
// do is never called concurrently with itself.
func NewCollector[T, R any](limit int, do func([]T) ([]R, error)) *Collector[T, R] {
	c := &Collector[T, R]{limit: max(limit, 1), do: do}
	c.idle.L = &c.mu
	return c
}

// Add hands an item over and returns; done is called with its result from the collector's goroutine and must not block.
func (c *Collector[T, R]) Add(item T, done func(R, error)) {
	c.mu.Lock()
	c.waiting = append(c.waiting, pending[T, R]{item, done})
	start := !c.busy
	c.busy = true
	c.mu.Unlock()
	if start {
		go c.flush()
	}
}

// Do adds an item and waits for its result, or for ctx; the item is done either way.
func (c *Collector[T, R]) Do(ctx context.Context, item T) (R, error) {
	type answer struct {
		r   R
		err error
	}
	ch := make(chan answer, 1)
	c.Add(item, func(r R, err error) { ch <- answer{r, err} })
	select {
	case a := <-ch:
		return a.r, a.err
	case <-ctx.Done():
		var zero R
		return zero, ctx.Err()
	}
}

// Wait returns when nothing is waiting or in flight. Nobody may call Add meanwhile if that is to mean anything.
func (c *Collector[T, R]) Wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.busy {
		c.idle.Wait()
	}
}

func (c *Collector[T, R]) flush() {
	for {
		c.mu.Lock()
		n := min(len(c.waiting), c.limit)
		if n == 0 {
			c.waiting, c.busy = nil, false
			c.idle.Broadcast()
			c.mu.Unlock()
			return
		}
		batch := c.waiting[:n:n]
		c.waiting = c.waiting[n:]
		c.mu.Unlock()

		items := make([]T, n)
		for i := range batch {
			items[i] = batch[i].item
		}
		results, err := c.do(items)
		for i := range batch {
			var r R
			if err == nil {
				r = results[i]
			}
			batch[i].done(r, err)
		}
	}
}
