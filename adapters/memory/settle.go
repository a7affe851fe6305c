package memory

import (
	"context"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// Settle implements stem.Broker.
func (b *broker) Settle(_ context.Context, settlements ...stem.Settlement) ([]error, error) {
	errs := make([]error, len(settlements))
	now, err := b.change()
	if err != nil {
		return nil, wrap("settle", err)
	}
	defer b.mu.Unlock()
	for i := range settlements {
		if err := b.settle(&settlements[i], now); err != nil {
			errs[i] = wrap("settle", err)
		}
	}
	return errs, nil
}

// settle carries out one settlement. Everything that can refuse it comes before the first write.
func (c *core) settle(s *stem.Settlement, now time.Time) error {
	t := c.held(s.Receipt)
	if t == nil {
		return stem.ErrLeaseLost
	}
	if err := adapters.CheckSettlement(*s); err != nil {
		return err
	}
	if t.msg.State.AckedEarly && s.Kind != stem.Done && s.Kind != stem.Dead && s.Kind != stem.AckEarly {
		return adapters.ErrAckedEarly
	}
	if err := c.checkRecords(s.Save, now); err != nil {
		return err
	}
	c.applyRecords(s.Save, now)
	if s.Result != nil {
		status := s.Result.Status
		status.ID, status.Epoch = s.Receipt.ID, s.Receipt.Epoch
		c.save(t.entry, status, s.Result.TTL, now)
	}
	c.end(t, s, now)
	c.updated(t.entry, now)
	if s.Tally != nil {
		tally := *s.Tally
		tally.TaskID, tally.Epoch = s.Receipt.ID, s.Receipt.Epoch
		c.count(tally, now)
	}
	for i := range s.Then {
		c.publish(&s.Then[i], now)
	}
	return nil
}

// end does what the settlement's kind says to the claim.
func (c *core) end(t *task, s *stem.Settlement, now time.Time) {
	switch s.Kind {
	case stem.Done:
		c.finish(t, now)
		return
	case stem.AckEarly:
		t.msg.State.AckedEarly = true
		return
	}
	t.msg.State = adapters.Settled(t.msg.State, s.State)
	switch s.Kind {
	case stem.Dead:
		c.finish(t, now)
		c.bury(t, s, now)
	case stem.Retry, stem.Hold:
		t.msg.State.NotBefore = s.At
		c.giveBack(t, now)
		c.reserve(t, now)
	case stem.Release:
		c.giveBack(t, now)
	case stem.Park:
		c.move(t, stem.ParkedPrefix+t.msg.Name, now)
	case stem.Move:
		c.move(t, s.Queue, now)
	}
}

// finish takes a claimed task out of its queue for good.
func (c *core) finish(t *task, now time.Time) {
	t.queue.leave(t)
	c.prune(t.queue)
	t.entry.task = nil
	c.unreserve(t)
	c.remember(t.entry, &t.msg, now)
}

// giveBack ends a claim and puts the task back into its place.
func (c *core) giveBack(t *task, now time.Time) {
	t.queue.leave(t)
	t.owner = ""
	t.queue.comeBack(t, now)
}

// move ends a claim and puts the task behind what is in another queue.
func (c *core) move(t *task, queue string, now time.Time) {
	t.queue.leave(t)
	c.prune(t.queue)
	t.owner = ""
	c.arrive(t, queue, now)
}
