package memory

import (
	"context"
	"strconv"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

var _ adapters.Lane = (*broker)(nil)

// Knows implements adapters.Lane.
func (b *broker) Knows(_ context.Context, ids ...string) ([]bool, error) {
	now, err := b.enter()
	if err != nil {
		return nil, wrap("knows", err)
	}
	defer b.mu.Unlock()
	out := make([]bool, len(ids))
	for i, id := range ids {
		e := b.entries[id]
		out[i] = e != nil && (e.task != nil || e.seenUntil.After(now))
	}
	return out, nil
}

// Stays implements adapters.Lane.
func (b *broker) Stays(_ context.Context, ids ...string) ([]*adapters.Stay, error) {
	if _, err := b.enter(); err != nil {
		return nil, wrap("stays", err)
	}
	defer b.mu.Unlock()
	out := make([]*adapters.Stay, len(ids))
	for i, id := range ids {
		if e := b.entries[id]; e != nil && e.task != nil {
			out[i] = &adapters.Stay{Message: e.task.msg, Token: token(e.task)}
		}
	}
	return out, nil
}

// Adopt implements adapters.Lane.
func (b *broker) Adopt(_ context.Context, stays ...adapters.Stay) error {
	now, err := b.change()
	if err != nil {
		return wrap("adopt", err)
	}
	defer b.mu.Unlock()
	for i := range stays {
		b.adopt(&stays[i], now)
	}
	return nil
}

func (c *core) adopt(s *adapters.Stay, now time.Time) {
	stay, e := c.entry(adapters.StayID(s.Token)), c.entry(s.Message.ID)
	again := stay.seenUntil.After(now)
	if !again {
		c.remind(stay, now.Add(adapters.StayFor))
	}
	if again || e.task != nil {
		c.tidy(e)
		return
	}
	c.unsave(e)
	c.forget(e)
	t := &task{msg: s.Message, entry: e}
	t.msg.State.Epoch = c.next(t.msg.State.Epoch, now)
	e.task = t
	c.arrive(t, t.msg.Queue, now)
	c.reserve(t, now)
	c.updated(e, now)
}

// remind remembers an entry until then.
func (c *core) remind(e *entry, until time.Time) {
	c.forget(e)
	e.seenUntil = until
	c.seen.push(e)
}

// Leave implements adapters.Lane.
func (b *broker) Leave(_ context.Context, stays ...adapters.Stay) error {
	now, err := b.change()
	if err != nil {
		return wrap("leave", err)
	}
	defer b.mu.Unlock()
	for _, s := range stays {
		e := b.entries[s.Message.ID]
		if e == nil || e.task == nil || token(e.task) != s.Token {
			continue
		}
		m := e.task.msg
		b.withdraw(e.task)
		b.remember(e, &m, now)
		b.updated(e, now)
	}
	return nil
}

// Forget implements adapters.Lane.
func (b *broker) Forget(_ context.Context, tokens ...string) error {
	now, err := b.change()
	if err != nil {
		return wrap("forget", err)
	}
	defer b.mu.Unlock()
	for _, t := range tokens {
		if e := b.entries[adapters.StayID(t)]; e != nil && e.seenUntil.After(now) {
			b.remind(e, now.Add(adapters.StayAfter(b.opts)))
		}
	}
	return nil
}

// token names a stay by the task's arrival.
func token(t *task) string { return strconv.FormatUint(t.seq, 10) }

// withdraw ends a stay from which its task has gone already.
func (c *core) withdraw(t *task) {
	if t.place == delayed {
		t.queue.delayed.remove(t)
	} else {
		t.queue.leave(t)
	}
	c.prune(t.queue)
	c.unreserve(t)
	t.entry.task = nil
}

// Look implements adapters.Lane.
func (b *broker) Look(_ context.Context, queues ...string) (adapters.Outlook, error) {
	now, err := b.enter()
	if err != nil {
		return adapters.Outlook{}, wrap("look", err)
	}
	defer b.mu.Unlock()
	out := adapters.Outlook{There: make([]bool, len(queues)), Next: time.Hour}
	for i, name := range queues {
		q := b.queues[name]
		if q == nil {
			continue
		}
		q.promote(now)
		out.There[i] = q.ready > 0
		if at, ok := q.change(); ok {
			out.Next = min(out.Next, at.Sub(now))
		}
	}
	return out, nil
}

// Await implements adapters.Lane.
func (b *broker) Await(ctx context.Context, wait time.Duration, queues ...string) (bool, error) {
	now, err := b.enter()
	if err != nil {
		return false, wrap("await", err)
	}
	cl := stem.Claim{Wait: wait}
	for _, q := range queues {
		cl.Queues = append(cl.Queues, stem.QueueLimit{Queue: q})
	}
	if b.ready(cl, now) || wait <= 0 {
		defer b.mu.Unlock()
		return b.ready(cl, now), nil
	}
	w := &waiter{bell: make(chan struct{}, 1)}
	b.wait(cl, w)
	defer b.dismiss(cl, w)
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		change := b.changes(cl, now)
		b.mu.Unlock()
		if there, err := b.rung(ctx, w, change, over.C); err != nil || !there {
			return false, wrap("await", err)
		}
		if now, err = b.enter(); err != nil {
			return false, wrap("await", err)
		}
		if b.ready(cl, now) {
			b.mu.Unlock()
			return true, nil
		}
	}
}

// ready says whether a claim would find something.
func (c *core) ready(cl stem.Claim, now time.Time) bool {
	for _, ql := range cl.Queues {
		if q := c.queues[ql.Queue]; q != nil {
			if q.promote(now); q.ready > 0 {
				return true
			}
		}
	}
	return false
}
