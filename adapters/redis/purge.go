package redis

import (
	"context"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// purgeSlice is how many tasks are purged at a time.
const purgeSlice = 500

// Purge implements stem.Inspector.
func (b *broker) Purge(ctx context.Context, queue string) (int, error) {
	if err := b.mayWrite("purge"); err != nil {
		return 0, err
	}
	if err := b.booked(ctx); err != nil {
		return 0, b.wrap("purge", err)
	}
	if err := b.sortInboxes(ctx, queue); err != nil {
		return 0, b.wrap("purge", err)
	}
	for total := 0; ; {
		paged, err := b.purgePages(ctx, queue)
		total += paged
		found, n := 0, 0
		if err == nil {
			found, n, err = b.purge(ctx, queue)
		}
		total += n
		if err != nil || found == 0 || n == 0 {
			return total, b.wrap("purge", err)
		}
	}
}

// purge cancels a slice of what waits. A task that is claimed meanwhile does not wait any more and is left.
func (b *broker) purge(ctx context.Context, queue string) (found, cancelled int, err error) {
	waiting, now, err := b.waitingIn(ctx, queue)
	if err != nil {
		return 0, 0, err
	}
	tasks, err := b.load(ctx, waiting)
	if err != nil {
		return 0, 0, err
	}
	cancelled, err = b.cancel(ctx, tasks, now)
	return len(waiting), cancelled, err
}

// cancel ends tasks that nobody has claimed and says how many.
func (b *broker) cancel(ctx context.Context, tasks []known, now time.Time) (n int, err error) {
	var wishes []*wish
	for i := range tasks {
		m := tasks[i].live
		if m == nil {
			continue
		}
		s := stem.Settlement{Kind: kindCancel, Receipt: stem.Receipt{ID: m.ID, Queue: m.Queue, Epoch: m.State.Epoch}}
		status := adapters.CancelledStatus(*m, m.State.Epoch, now, tasks[i].kept)
		if adapters.KeepsStatus(m.Queue) {
			s.Result = &stem.StatusWrite{Status: status}
		}
		if tally, ok := adapters.EndTally(&status); ok {
			s.Tally = &tally
		}
		wishes = append(wishes, &wish{Settlement: s})
	}
	err = b.settle(ctx, wishes)
	for i := range wishes {
		if err == nil && wishes[i].outcome == nil {
			n++
		}
	}
	return n, err
}

// purgeMax is how many pages are purged at a time.
const purgeMax = 16

// purgePages cancels what waits in pages and is of no group, as far as nothing else is before it.
func (b *broker) purgePages(ctx context.Context, queue string) (total int, err error) {
	for {
		values, err := b.run(ctx, "leaves", b.keys.lanes(queue), purgeMax).Slice()
		if err != nil || len(values) == 0 {
			return total, err
		}
		leaves := make([]leaf, len(values))
		for i, v := range values {
			leaves[i] = b.leafOf(v.([]any))
		}
		n, err := b.cancelPages(ctx, queue, leaves)
		if total += n; err != nil || n == 0 {
			return total, err
		}
	}
}

func (b *broker) cancelPages(ctx context.Context, queue string, leaves []leaf) (n int, err error) {
	pages, err := b.read(ctx, leaves)
	if err != nil {
		return 0, err
	}
	now, err := b.now(ctx)
	if err != nil {
		return 0, err
	}
	c := &call{lanes: b.keys.lanes(queue), args: []any{b.opts.Dedupe.Microseconds()}}
	for _, l := range leaves {
		page, ok := pages[l.sheet]
		if !ok {
			continue // lost, as who claims it will say
		}
		waiting, err := l.deliveries(nil, page, stem.Delivery{}, 0)
		if err != nil {
			return 0, err
		}
		if err := cancelLeaf(c, l, waiting, now); err != nil {
			return 0, err
		}
	}
	return b.run(ctx, "cancelpage", c.lanes, c.args...).Int()
}

// cancelLeaf adds what lua/cancelpage.lua is to know of a leaf, but for one in which tasks count for groups.
func cancelLeaf(c *call, l leaf, waiting []stem.Delivery, now time.Time) error {
	with := len(waiting) > 0 && adapters.KeepsStatus(waiting[0].Queue)
	head := number(number(nil, lifeOf(0)), l.name)
	args := []any{append(head, byte(l.from), byte(l.from+l.n-1), flag(with))}
	var statuses []any
	for _, d := range waiting {
		status := adapters.CancelledStatus(d.Message, 0, now, nil)
		if _, counts := adapters.EndTally(&status); counts {
			return nil
		}
		args = append(args, d.ID)
		encoded, err := stem.EncodeStatus(&status)
		if err != nil {
			return err
		}
		statuses = append(statuses, encoded)
	}
	if c.args = append(c.args, args...); with {
		c.args = append(c.args, statuses...)
	}
	return nil
}
