package memory

import (
	"context"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// held is the task of a valid receipt, or nil.
func (c *core) held(r stem.Receipt) *task {
	e := c.entries[r.ID]
	if e == nil || e.task == nil || r.Owner == "" {
		return nil
	}
	if t := e.task; t.owner == r.Owner && t.msg.State.Epoch == r.Epoch {
		return t
	}
	return nil
}

// Extend implements stem.Broker.
func (b *broker) Extend(_ context.Context, leases ...stem.Lease) (lost []stem.Receipt, err error) {
	now, err := b.change()
	if err != nil {
		return nil, wrap("extend", err)
	}
	defer b.mu.Unlock()
	for _, l := range leases {
		t := b.held(l.Receipt)
		if t == nil {
			lost = append(lost, l.Receipt)
			continue
		}
		before := t.until
		t.queue.leave(t)
		t.until, t.place = now.Add(adapters.LeaseLength(l.For)), leased
		t.queue.leased.push(t)
		b.reserve(t, now)
		if t.until.Before(before) {
			t.queue.ring() // who waits for the lease to expire waits less
		}
	}
	return lost, nil
}

// ReleaseOwner implements stem.Takeover.
func (b *broker) ReleaseOwner(_ context.Context, owner string) (int, error) {
	now, err := b.change()
	if err != nil {
		return 0, wrap("release owner", err)
	}
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.entries {
		if t := e.task; t != nil && owner != "" && t.owner == owner {
			t.msg.State.Redeliveries++
			b.giveBack(t, now)
			b.updated(e, now)
			n++
		}
	}
	return n, nil
}
