package memory

import (
	"context"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// broker is the Broker of a core.
type broker struct{ *core }

var (
	_ stem.Broker     = (*broker)(nil)
	_ stem.Inspector  = (*broker)(nil)
	_ stem.Maintainer = (*broker)(nil)
	_ stem.Takeover   = (*broker)(nil)
	_ stem.Limiter    = (*broker)(nil)
)

// Publish implements stem.Broker.
func (b *broker) Publish(_ context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	out := make([]stem.Published, len(msgs))
	for i := range msgs {
		out[i].ID = msgs[i].ID
		if err := adapters.CheckMessage(msgs[i]); err != nil {
			out[i].State, out[i].Err = stem.Rejected, err
		}
	}
	now, err := b.change()
	if err != nil {
		return nil, wrap("publish", err)
	}
	defer b.mu.Unlock()
	for i := range msgs {
		if out[i].State != stem.Rejected {
			out[i].State, out[i].ID = b.publish(&msgs[i], now)
		}
	}
	return out, nil
}

// publish accepts a valid message unless its id is live or remembered or its key is taken, and says whose id stands for it. What
// was saved of a past life of the id goes.
func (c *core) publish(m *stem.Message, now time.Time) (stem.PublishState, string) {
	if e := c.entries[m.ID]; e != nil && (e.task != nil || e.seenUntil.After(now)) {
		return stem.Duplicate, m.ID
	}
	if holder := c.holder(m.Unique.Key, now); holder != "" && holder != m.ID {
		return stem.Duplicate, holder
	}
	e := c.entry(m.ID)
	past := m.State.Epoch
	if e.saved != nil {
		past = max(past, e.saved.Epoch)
	}
	c.unsave(e)
	c.forget(e)
	t := &task{msg: *m, entry: e}
	t.msg.State = adapters.Accepted(m.State, c.next(past, now), now)
	e.task = t
	c.arrive(t, m.Queue, now)
	c.reserve(t, now)
	c.updated(e, now)
	return stem.Accepted, m.ID
}

// arrive puts a task behind what is in a queue.
func (c *core) arrive(t *task, queue string, now time.Time) {
	c.seq++
	t.seq = c.seq
	c.queue(queue).arrive(t, now)
}
