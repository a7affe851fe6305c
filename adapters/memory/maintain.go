package memory

import (
	"context"
	"strings"
	"time"

	"github.com/stemd/stem"
)

// slice is how many of each sort one call of Maintain deletes.
const slice = 1000

// Maintain implements stem.Maintainer.
func (b *broker) Maintain(context.Context) (stem.Maintained, error) {
	var m stem.Maintained
	now, err := b.change()
	if err != nil {
		return m, wrap("maintain", err)
	}
	defer b.mu.Unlock()
	results := func() bool { return b.expiry.len() > 0 && !b.expiry.top().expires.After(now) }
	for ; m.Results < slice && results(); m.Results++ {
		e := b.expiry.top()
		b.unsave(e)
		if e.task == nil {
			b.recent.remove(e)
			b.tidy(e)
		}
	}
	seen := func() bool { return b.seen.len() > 0 && !b.seen.top().seenUntil.After(now) }
	for ; m.SeenIDs < slice && seen(); m.SeenIDs++ {
		e := b.seen.top()
		b.forget(e)
		b.tidy(e)
	}
	records := func() bool { return b.stale.len() > 0 && b.stale.top().expired(now) }
	for ; m.Records < slice && records(); m.Records++ {
		r := b.stale.top()
		b.drop(b.shelves[r.Kind], r)
	}
	letters := func() bool {
		last := b.letters.list.Back()
		return last != nil && b.opts.DeadLetters >= 0 && !last.Value.(*letter).DeadAt.Add(b.opts.DeadLetters).After(now)
	}
	for ; m.DeadLetters < slice && letters(); m.DeadLetters++ {
		l := b.letters.list.Back().Value.(*letter)
		b.unbury(l)
		b.tidy(l.entry)
	}
	for b.lapsing.len() > 0 && !b.lapsing.top().until.After(now) {
		b.lapse(b.lapsing.top()) // nothing to count: its task goes on
	}
	groups := func() bool { return b.ebbing.len() > 0 && !b.ebbing.top().expires.After(now) }
	for ; m.Groups < slice && groups(); m.Groups++ {
		b.dissolve(b.ebbing.top())
	}
	limits := func() bool { return b.resting.len() > 0 && b.resting.top().forget <= now.UnixMicro() }
	for ; m.Limits < slice && limits(); m.Limits++ {
		delete(b.buckets, b.resting.pop().key)
	}
	m.Events = b.forgetEvents(now)
	m.More = results() || seen() || records() || letters() || groups() || limits() || m.Events == slice
	return m, nil
}

// forgetEvents deletes up to a slice of the broadcasts that nobody has read for too long.
func (c *core) forgetEvents(now time.Time) int {
	n, before := 0, now.Add(-c.opts.Events)
	for name, q := range c.queues {
		if !strings.HasPrefix(name, stem.BroadcastPrefix) {
			continue
		}
		q.promote(now)
		for p := range q.lanes {
			l := &q.lanes[p]
			for t := l.next(); n < slice && t != nil && !t.msg.State.Created.After(before); t = l.next() {
				q.ready--
				c.cancel(l.pop(), now)
				n++
			}
		}
		c.prune(q)
	}
	return n
}
