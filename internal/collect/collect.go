// Package collect batches: many small calls become few large ones.
package collect

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

var errPanicked = errors.New("the call that this was part of panicked")

// Collector turns many small calls into few large ones without adding latency: the first item goes at once, the rest gather
// while one call is in flight and go together when it returns. There is no timer. It is safe for concurrent use.
type Collector[T, R any] struct {
	limit int
	do    func(context.Context, []T) ([]R, error)

	mu      sync.Mutex
	waiting []pending[T, R]
	busy    bool
	crowd   bool      // the last call had more than one item: where it did, others are about to add
	idle    sync.Cond // signalled when busy becomes false
}

type pending[T, R any] struct {
	item T
	done func(R, error)
}

// NewCollector makes a collector whose do gets up to limit items (≥ 1) and returns one result per item, or an error for all.
// do is never called concurrently with itself. Its context is that of the caller whose item goes alone, else one that does not end.
func NewCollector[T, R any](limit int, do func(context.Context, []T) ([]R, error)) *Collector[T, R] {
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

// Do adds an item and waits for its result, or for ctx; what was handed over is done either way. An item that goes at once goes in the
// caller's goroutine: nobody has to be woken for it, but then ctx ends the waiting no sooner than do heeds it.
func (c *Collector[T, R]) Do(ctx context.Context, item T) (R, error) {
	c.mu.Lock()
	if !c.busy {
		c.busy = true
		crowd := c.crowd
		c.mu.Unlock()
		return c.lead(ctx, item, crowd)
	}
	type answer struct {
		r   R
		err error
	}
	ch := make(chan answer, 1)
	c.waiting = append(c.waiting, pending[T, R]{item, func(r R, err error) { ch <- answer{r, err} }})
	c.mu.Unlock()
	select {
	case a := <-ch:
		return a.r, a.err
	case <-ctx.Done():
		var zero R
		return zero, ctx.Err()
	}
}

// lead does an item, with those that gathered in a moment; those that gather meanwhile are left to a goroutine.
func (c *Collector[T, R]) lead(ctx context.Context, item T, crowd bool) (R, error) {
	defer func() { // also when do panics: the caller may recover
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.waiting) > 0 {
			go c.flush()
			return
		}
		c.busy = false
		c.idle.Broadcast()
	}()
	if crowd {
		runtime.Gosched() // who is about to add has the chance; it wakes a thread, so who is alone does without
	}
	c.mu.Lock()
	others := c.take(c.limit - 1)
	c.crowd = len(others) > 0
	c.mu.Unlock()
	if len(others) == 0 {
		results, err := c.do(ctx, []T{item})
		if err != nil {
			var zero R
			return zero, err
		}
		return results[0], nil
	}
	var mine R
	var failed error
	own := pending[T, R]{item, func(r R, err error) { mine, failed = r, err }}
	c.call(context.Background(), append([]pending[T, R]{own}, others...))
	return mine, failed
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
		runtime.Gosched() // who was just answered may have more
		c.mu.Lock()
		batch := c.take(c.limit)
		if len(batch) == 0 {
			c.waiting, c.busy = nil, false
			c.idle.Broadcast()
			c.mu.Unlock()
			return
		}
		c.crowd = len(batch) > 1
		c.mu.Unlock()
		c.call(context.Background(), batch)
	}
}

// take removes up to n of the waiting items; c.mu is held.
func (c *Collector[T, R]) take(n int) []pending[T, R] {
	n = min(len(c.waiting), n)
	batch := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	return batch
}

// call does a batch and answers it.
func (c *Collector[T, R]) call(ctx context.Context, batch []pending[T, R]) {
	items := make([]T, len(batch))
	for i := range batch {
		items[i] = batch[i].item
	}
	var results []R
	err := errPanicked
	defer func() { // the callers of the others do not wait for ever
		for i := range batch {
			var r R
			if err == nil {
				r = results[i]
			}
			batch[i].done(r, err)
		}
	}()
	results, err = c.do(ctx, items)
}
