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
	_ = b.booked(ctx) // who can not is still among the ready ones
	pipe := b.client.Pipeline()
	known, unsorted, dead := pipe.SMembers(ctx, b.keys.key(queuesKey)), pipe.SMembers(ctx, b.keys.key(inboxesKey)), pipe.HGetAll(ctx, b.keys.key(countKey))
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, b.wrap("queues", err)
	}
	names, letters := append(known.Val(), unsorted.Val()...), dead.Val()
	slices.Sort(names)
	names = slices.Compact(names)
	var out []stem.QueueCounts
	for len(names) > 0 {
		part := names[:min(len(names), countMax)]
		n, err := b.run(ctx, "counts", b.keys.lanes(part...), len(part)).Int64Slice()
		if err != nil {
			return nil, b.wrap("queues", err)
		}
		part = part[:len(n)/4]
		names = names[len(part):]
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
	_ = b.booked(ctx)
	if _, err := b.sorted(ctx, q.Queue); err != nil { // what can not be sorted is at the end
		return page, b.wrap("browse", err)
	}
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
