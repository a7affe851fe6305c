package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

const (
	// countMax is how many queues one script counts.
	countMax = 50
	// browseMax is how many claimed tasks, and how many that have become due, one script puts in order.
	browseMax = 500
)

// Queues implements stem.Inspector.
func (b *broker) Queues(ctx context.Context) ([]stem.QueueCounts, error) {
	pipe := b.client.Pipeline()
	known, dead := pipe.SMembers(ctx, b.keys.key(queuesKey)), pipe.HGetAll(ctx, b.keys.key(countKey))
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, b.wrap("queues", err)
	}
	names, letters := known.Val(), dead.Val()
	var out []stem.QueueCounts
	for len(names) > 0 {
		part := names[:min(len(names), countMax)]
		names = names[len(part):]
		n, err := b.run(ctx, "counts", b.keys.lanes(part...), len(part)).Int64Slice()
		if err != nil {
			return nil, b.wrap("queues", err)
		}
		for i, name := range part {
			c := n[4*i:]
			if c[0]+c[1]+c[2] > 0 {
				q := stem.QueueCounts{Queue: name, Ready: int(c[0]), Delayed: int(c[1]), Running: int(c[2]), Oldest: time.Duration(c[3]) * time.Microsecond}
				q.Dead, _ = strconv.Atoi(letters[name])
				delete(letters, name)
				out = append(out, q)
			}
		}
	}
	for name, n := range letters {
		q := stem.QueueCounts{Queue: name}
		q.Dead, _ = strconv.Atoi(n)
		out = append(out, q)
	}
	slices.SortFunc(out, func(x, y stem.QueueCounts) int { return cmp.Compare(x.Queue, y.Queue) })
	return out, nil
}

// Browse implements stem.Inspector: those that run first, then the waiting ones in the order they would be claimed. The cursor is what
// lua/browse.lua says of the last item's place.
func (b *broker) Browse(ctx context.Context, q stem.BrowseQuery) (stem.BrowsePage, error) {
	var page stem.BrowsePage
	place, due, rank := int64(-1), int64(0), int64(0)
	if q.Cursor != "" {
		if _, err := fmt.Sscanf(q.Cursor, "%d.%d.%d", &place, &due, &rank); err != nil {
			return page, b.wrap("browse", adapters.BadCursor(q.Cursor))
		}
	}
	limit := adapters.PageLimit(q.Limit)
	found, err := b.run(ctx, "browse", b.keys.lanes(q.Queue), place, due, rank, limit+1, browseMax).Slice()
	if err != nil {
		return page, b.wrap("browse", err)
	}
	var ids []string
	for i := 0; i+3 < len(found); i += 4 {
		if len(ids) == limit {
			page.Next = fmt.Sprintf("%d.%d.%d", place, due, rank)
			break
		}
		place, due, rank = found[i].(int64), found[i+1].(int64), found[i+2].(int64)
		ids = append(ids, found[i+3].(string))
	}
	all, err := b.load(ctx, ids)
	for i := range all {
		if all[i].live != nil {
			page.Items = append(page.Items, *all[i].status())
		}
	}
	return page, b.wrap("browse", err)
}

// purgeSlice is how many tasks are purged at a time.
const purgeSlice = 500

// Purge implements stem.Inspector.
func (b *broker) Purge(ctx context.Context, queue string) (int, error) {
	if err := b.mayWrite("purge"); err != nil {
		return 0, err
	}
	for total := 0; ; {
		found, n, err := b.purge(ctx, queue)
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
