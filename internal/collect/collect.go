// Package collect batches: many small calls become few large ones.
package collect

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
)

var errPanicked = errors.New("the call that this was part of panicked")

// Collector turns many small calls into few large ones without adding latency: the first item goes at once, the rest gather
// while calls are in flight and go together when one returns. There is no timer. It is safe for concurrent use.
type Collector[T, R any] struct {
	limit, abreast int
	do             func(context.Context, []T) ([]R, error)

	mu      sync.Mutex
	waiting []pending[T, R]
	spare   [][]pending[T, R] // empty, for further calls
	calls   int               // in flight
	aloft   int               // items of these
	crowd   int               // how many items there were lately, waiting and in flight: as many are about to come again
	idle    sync.Cond         // signalled when calls becomes 0

	callers sync.Pool // of *caller[R]
}

type pending[T, R any] struct {
	item T
	done func(R, error)
}

// spareMax is how many items a slice has room for that is kept for further calls.
const spareMax = 64

// caller is somebody who waits for the result of an item.
type caller[R any] struct {
	answered chan answer[R]
	done     func(R, error)
}

type answer[R any] struct {
	r   R
	err error
}

func newCaller[R any]() any {
	c := &caller[R]{answered: make(chan answer[R], 1)}
	c.done = func(r R, err error) { c.answered <- answer[R]{r, err} }
	return c
}

// NewCollector makes a collector whose do gets up to limit items (≥ 1) and returns one result per item, or an error for all.
// Up to abreast calls (≥ 1) are in flight at the same time, each with its share of the items, so that one is made while another is on its
// way; with 1 do is never called concurrently with itself. Its context is that of the caller whose item goes alone, else one that does not end.
func NewCollector[T, R any](limit, abreast int, do func(context.Context, []T) ([]R, error)) *Collector[T, R] {
	c := &Collector[T, R]{limit: max(limit, 1), abreast: max(abreast, 1), do: do}
	c.idle.L = &c.mu
	c.callers.New = newCaller[R]
	return c
}

// Add hands an item over and returns; done is called with its result from the collector's goroutine and must not block.
func (c *Collector[T, R]) Add(item T, done func(R, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, pending[T, R]{item, done})
	c.start()
}

// Do adds an item and waits for its result, or for ctx; what was handed over is done either way. An item that goes at once goes in the
// caller's goroutine: nobody has to be woken for it, but then ctx ends the waiting no sooner than do heeds it.
func (c *Collector[T, R]) Do(ctx context.Context, item T) (R, error) {
	c.mu.Lock()
	if c.due(1) {
		c.calls++
		crowd := c.crowd > 1
		c.mu.Unlock()
		return c.lead(ctx, item, crowd)
	}
	me := c.callers.Get().(*caller[R])
	c.waiting = append(c.waiting, pending[T, R]{item, me.done})
	c.mu.Unlock()
	select {
	case a := <-me.answered:
		c.callers.Put(me)
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
		c.calls--
		c.start()
	}()
	if crowd {
		runtime.Gosched() // who is about to add has the chance; it wakes a thread, so who is alone does without
	}
	c.mu.Lock()
	batch := c.take(pending[T, R]{item: item})
	c.mu.Unlock()
	if len(batch) == 1 {
		defer c.recycle(batch)
		defer c.landed(1)
		results, err := c.do(ctx, []T{item})
		if err != nil {
			var zero R
			return zero, err
		}
		return results[0], nil
	}
	var mine R
	var failed error
	batch[0].done = func(r R, err error) { mine, failed = r, err }
	c.call(batch)
	return mine, failed
}

// Wait returns when nothing is waiting or in flight. Nobody may call Add meanwhile if that is to mean anything.
func (c *Collector[T, R]) Wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.calls > 0 {
		c.idle.Wait()
	}
}

// due says whether another call is to go with these more items and those that wait: at once where none is in flight, and else when its share
// has gathered. c.mu is held.
func (c *Collector[T, R]) due(more int) bool {
	n := len(c.waiting) + more
	return n > 0 && (c.calls == 0 || c.calls < c.abreast && n >= c.crowd/c.abreast)
}

// start has a goroutine make another call if it is due; c.mu is held.
func (c *Collector[T, R]) start() {
	switch {
	case c.due(0):
		c.calls++
		go c.flush()
	case c.calls == 0:
		c.idle.Broadcast()
	}
}

// flush makes calls as long as they are due.
func (c *Collector[T, R]) flush() {
	for {
		runtime.Gosched() // who was just answered may have more
		c.mu.Lock()
		if c.calls--; !c.due(0) {
			if c.calls == 0 {
				c.idle.Broadcast()
			}
			c.mu.Unlock()
			return
		}
		c.calls++
		batch := c.take()
		c.mu.Unlock()
		c.call(batch)
	}
}

// take gives the items of the next call: first, and of those that wait as many as are its share. c.mu is held.
func (c *Collector[T, R]) take(first ...pending[T, R]) []pending[T, R] {
	there := c.aloft + len(first) + len(c.waiting)
	c.crowd = max(there, c.crowd*7/8)
	share := min(c.limit, (c.crowd+c.abreast-1)/c.abreast)
	n := min(len(c.waiting), share-len(first))
	var batch []pending[T, R]
	if last := len(c.spare) - 1; last >= 0 {
		batch, c.spare = c.spare[last], c.spare[:last]
	}
	batch = append(append(batch, first...), c.waiting[:n]...)
	if c.waiting = slices.Delete(c.waiting, 0, n); len(c.waiting) == 0 && cap(c.waiting) > spareMax {
		c.waiting = nil
	}
	c.aloft += len(batch)
	return batch
}

// landed notes that so many items are in flight no more.
func (c *Collector[T, R]) landed(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aloft -= n
}

// recycle keeps the slice of a call that is over for another.
func (c *Collector[T, R]) recycle(batch []pending[T, R]) {
	if cap(batch) > spareMax {
		return
	}
	clear(batch)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare = append(c.spare, batch[:0])
}

// call does a batch and answers it.
func (c *Collector[T, R]) call(batch []pending[T, R]) {
	items := make([]T, len(batch))
	for i := range batch {
		items[i] = batch[i].item
	}
	var results []R
	err := errPanicked
	defer func() { // the callers of the others do not wait for ever
		c.landed(len(batch))
		for i := range batch {
			var r R
			if err == nil {
				r = results[i]
			}
			batch[i].done(r, err)
		}
		c.recycle(batch)
	}()
	results, err = c.do(context.Background(), items)
}
