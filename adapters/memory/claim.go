package memory

import (
	"context"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// waiter is a claim that waits.
type waiter struct{ bell chan struct{} }

func (w *waiter) wake() {
	select {
	case w.bell <- struct{}{}:
	default: // it rings already
	}
}

// Claim implements stem.Broker. Only waiting takes real time: an injected clock decides what is due, not how long to wait.
func (b *broker) Claim(ctx context.Context, cl stem.Claim) ([]stem.Delivery, error) {
	if cl.Owner == "" {
		return nil, wrap("claim", adapters.ErrNoOwner)
	}
	now, err := b.change()
	if err != nil {
		return nil, wrap("claim", err)
	}
	out := b.take(cl, now)
	if len(out) > 0 || cl.Wait <= 0 || cl.Max <= 0 {
		b.mu.Unlock()
		return out, nil
	}
	w := &waiter{bell: make(chan struct{}, 1)}
	b.wait(cl, w)
	defer b.dismiss(cl, w)
	over := time.NewTimer(cl.Wait)
	defer over.Stop()
	for {
		change := b.changes(cl, now)
		b.mu.Unlock()
		if there, err := b.rung(ctx, w, change, over.C); err != nil || !there {
			return nil, wrap("claim", err)
		}
		if now, err = b.change(); err != nil {
			return nil, wrap("claim", err)
		}
		if out = b.take(cl, now); len(out) > 0 {
			b.mu.Unlock()
			return out, nil
		}
	}
}

// rung waits for a ring, a change of the queues, or the end; false: there is nothing to look for.
func (c *core) rung(ctx context.Context, w *waiter, change, over <-chan time.Time) (bool, error) {
	select {
	case <-w.bell:
	case <-change:
	case <-over:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-c.done:
		return false, stem.ErrClosed
	}
	return true, nil
}

// take claims what is ready.
func (c *core) take(cl stem.Claim, now time.Time) []stem.Delivery {
	var out []stem.Delivery
	for _, ql := range cl.Queues {
		q := c.queues[ql.Queue]
		if q == nil {
			continue
		}
		q.promote(now)
		n := min(q.ready, cl.Max-len(out))
		if ql.Limit > 0 {
			n = min(n, ql.Limit)
		}
		for range n {
			if out == nil {
				out = make([]stem.Delivery, 0, min(cl.Max, 2*n))
			}
			out = append(out, c.claim(q.pop(), cl, now))
		}
	}
	return out
}

func (c *core) claim(t *task, cl stem.Claim, now time.Time) stem.Delivery {
	if t.owner != "" {
		t.msg.State.Redeliveries++
	}
	t.msg.State.Epoch = c.next(t.msg.State.Epoch, now)
	t.owner = cl.Owner
	t.until = now.Add(adapters.LeaseOf(&t.msg, cl.Lease))
	t.place = leased
	t.queue.leased.push(t)
	c.reserve(t, now)
	c.updated(t.entry, now)
	return stem.Delivery{
		Message: t.msg, LeasedUntil: t.until,
		Receipt: stem.Receipt{ID: t.msg.ID, Queue: t.msg.Queue, Owner: t.owner, Epoch: t.msg.State.Epoch},
	}
}

// changes fires when a task of a waiting claim's queues becomes due or its lease expires; nil: nothing will by itself.
func (c *core) changes(cl stem.Claim, now time.Time) <-chan time.Time {
	var first time.Time
	for _, ql := range cl.Queues {
		if at, ok := c.queue(ql.Queue).change(); ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		return nil
	}
	return time.After(first.Sub(now))
}

// wait has a waiter woken by its queues.
func (c *core) wait(cl stem.Claim, w *waiter) {
	for _, ql := range cl.Queues {
		c.queue(ql.Queue).waiters[w] = struct{}{}
	}
}

// dismiss takes a waiter away from its queues, and the queues that only it kept.
func (c *core) dismiss(cl stem.Claim, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ql := range cl.Queues {
		q := c.queues[ql.Queue]
		if q == nil {
			continue
		}
		delete(q.waiters, w)
		c.prune(q)
	}
}

// prune lets a queue go that holds nothing.
func (c *core) prune(q *queue) {
	if q.idle() {
		delete(c.queues, q.name)
	}
}
