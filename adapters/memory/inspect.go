package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// Queues implements stem.Inspector.
func (b *broker) Queues(context.Context) ([]stem.QueueCounts, error) {
	now, err := b.enter()
	if err != nil {
		return nil, wrap("queues", err)
	}
	defer b.mu.Unlock()
	var out []stem.QueueCounts
	for name, q := range b.queues {
		q.promote(now)
		if q.ready+q.delayed.len()+q.leased.len() > 0 {
			out = append(out, stem.QueueCounts{
				Queue: name, Ready: q.ready, Delayed: q.delayed.len(), Running: q.leased.len(), Dead: b.letters.byQueue[name], Oldest: q.oldest(now),
			})
		}
	}
	for name, n := range b.letters.byQueue {
		if q := b.queues[name]; q == nil || q.ready+q.delayed.len()+q.leased.len() == 0 {
			out = append(out, stem.QueueCounts{Queue: name, Dead: n})
		}
	}
	slices.SortFunc(out, func(x, y stem.QueueCounts) int { return cmp.Compare(x.Queue, y.Queue) })
	return out, nil
}

// oldest is the age of the first ready task of any priority.
func (q *queue) oldest(now time.Time) (age time.Duration) {
	for i := range q.lanes {
		l := &q.lanes[i]
		if l.head < len(l.line) {
			age = max(age, now.Sub(l.line[l.head].msg.State.Created))
		}
		if l.returned.len() > 0 {
			age = max(age, now.Sub(l.returned.top().msg.State.Created))
		}
	}
	return age
}

// position is a task's place in the order of Browse: the claimed by lease, the ready by priority and arrival, the delayed by
// due time.
type position struct{ group, major, minor int64 }

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.group, o.group), cmp.Compare(p.major, o.major), cmp.Compare(p.minor, o.minor))
}

func (t *task) position() position {
	switch t.place {
	case leased:
		return position{0, -int64(t.msg.Priority), int64(t.seq)}
	case delayed:
		return position{2, t.msg.State.NotBefore.UnixMicro(), int64(t.seq)}
	default:
		return position{1, -int64(t.msg.Priority), int64(t.seq)}
	}
}

// Browse implements stem.Inspector: those that run first, then the waiting ones in the order they would be claimed.
func (b *broker) Browse(_ context.Context, bq stem.BrowseQuery) (stem.BrowsePage, error) {
	var page stem.BrowsePage
	var after position
	if bq.Cursor != "" {
		if _, err := fmt.Sscanf(bq.Cursor, "%d.%d.%d", &after.group, &after.major, &after.minor); err != nil {
			return page, wrap("browse", adapters.BadCursor(bq.Cursor))
		}
	}
	now, err := b.enter()
	if err != nil {
		return page, wrap("browse", err)
	}
	defer b.mu.Unlock()
	q := b.queues[bq.Queue]
	if q == nil {
		return page, nil
	}
	q.promote(now)
	tasks := q.tasks()
	if bq.Cursor != "" {
		tasks = slices.DeleteFunc(tasks, func(t *task) bool { return t.position().compare(after) <= 0 })
	}
	slices.SortFunc(tasks, func(x, y *task) int { return x.position().compare(y.position()) })
	for i, t := range tasks {
		if i == adapters.PageLimit(bq.Limit) {
			p := tasks[i-1].position()
			page.Next = fmt.Sprintf("%d.%d.%d", p.group, p.major, p.minor)
			break
		}
		s, _ := t.entry.status(now)
		page.Items = append(page.Items, s)
	}
	return page, nil
}

// tasks is everything in the queue, in no order.
func (q *queue) tasks() []*task {
	return slices.Concat(q.leased.items, q.waiting())
}

// waiting is the ready and delayed tasks, in no order.
func (q *queue) waiting() []*task {
	all := slices.Clone(q.delayed.items)
	for i := range q.lanes {
		all = append(append(all, q.lanes[i].line[q.lanes[i].head:]...), q.lanes[i].returned.items...)
	}
	return all
}

// Purge implements stem.Inspector.
func (b *broker) Purge(_ context.Context, name string) (int, error) {
	now, err := b.change()
	if err != nil {
		return 0, wrap("purge", err)
	}
	defer b.mu.Unlock()
	q := b.queues[name]
	if q == nil {
		return 0, nil
	}
	q.promote(now)
	gone := q.waiting()
	q.delayed.items, q.ready = nil, 0
	for i := range q.lanes {
		l := &q.lanes[i]
		l.line, l.head, l.returned.items = nil, 0, nil
	}
	b.prune(q)
	for _, t := range gone {
		b.cancel(t, now)
	}
	return len(gone), nil
}

// cancel ends a task that is in no queue any more.
func (c *core) cancel(t *task, now time.Time) {
	e := t.entry
	status := adapters.CancelledStatus(t.msg, c.next(t.msg.State.Epoch, now), now, e.saved)
	e.task = nil
	c.unreserve(t)
	c.remember(e, &t.msg, now)
	if adapters.KeepsStatus(t.msg.Queue) {
		c.save(e, status, 0, now)
	}
	if tally, ok := adapters.EndTally(&status); ok {
		c.count(tally, now)
	}
	c.updated(e, now)
}
