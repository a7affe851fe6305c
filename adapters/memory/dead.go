package memory

import (
	"container/list"
	"context"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// letter is a dead letter in its list.
type letter struct {
	stem.DeadLetter
	entry *entry
	place *list.Element
}

// letterList is the dead letters, newest first, and how many each queue has.
type letterList struct {
	list    list.List
	byQueue map[string]int
}

// bury keeps a task that ended as a dead letter; an older one of the same id goes.
func (c *core) bury(t *task, s *stem.Settlement, now time.Time) {
	l := &letter{DeadLetter: stem.DeadLetter{Message: t.msg, Reason: s.Reason, DeadAt: now}, entry: t.entry}
	l.Message.State.NotBefore = time.Time{} // it is not due any more
	if l.Reason == "" {
		l.Reason = stem.ReasonUnknown
	}
	if s.Result != nil {
		l.Error = s.Result.Status.Error
	}
	if old := t.entry.letter; old != nil {
		c.unbury(old)
	}
	if c.letters.byQueue == nil {
		c.letters.byQueue = map[string]int{}
	}
	t.entry.letter = l
	l.place = c.letters.list.PushFront(l)
	c.letters.byQueue[t.msg.Queue]++
}

func (c *core) unbury(l *letter) {
	c.letters.list.Remove(l.place)
	l.entry.letter = nil
	if c.letters.byQueue[l.Message.Queue]--; c.letters.byQueue[l.Message.Queue] == 0 {
		delete(c.letters.byQueue, l.Message.Queue)
	}
}

// find returns the matching letters, newest first, after the first offset, and whether there are more than limit; limit ≤ 0:
// all.
func (c *core) find(q stem.DeadLetterQuery, offset, limit int) (found []*letter, more bool) {
	for at := c.letters.list.Front(); at != nil; at = at.Next() {
		l := at.Value.(*letter)
		if q.Queue != "" && l.Message.Queue != q.Queue || l.DeadAt.Before(q.Since) ||
			len(q.IDs) > 0 && !slices.Contains(q.IDs, l.Message.ID) {
			continue
		}
		if offset > 0 {
			offset--
			continue
		}
		if limit > 0 && len(found) == limit {
			return found, true
		}
		found = append(found, l)
	}
	return found, false
}

// DeadLetters implements stem.Inspector.
func (b *broker) DeadLetters(_ context.Context, q stem.DeadLetterQuery) (stem.DeadLetterPage, error) {
	if _, err := b.enter(); err != nil {
		return stem.DeadLetterPage{}, wrap("dead letters", err)
	}
	defer b.mu.Unlock()
	found, more := b.find(q, q.Offset, adapters.PageLimit(q.Limit))
	page := stem.DeadLetterPage{More: more}
	for _, l := range found {
		page.Items = append(page.Items, l.DeadLetter)
	}
	return page, nil
}

// Replay implements stem.Inspector. The letters selected are the newest; they go back in the order in which they died.
func (b *broker) Replay(_ context.Context, r stem.Replay) ([]stem.Replayed, error) {
	now, err := b.change()
	if err != nil {
		return nil, wrap("replay", err)
	}
	defer b.mu.Unlock()
	found, _ := b.find(r.DeadLetterQuery, r.Offset, adapters.PageLimit(r.Limit))
	out := make([]stem.Replayed, len(found))
	for i, l := range slices.Backward(found) {
		out[i].DeadLetter = l.DeadLetter
		if l.entry.task != nil {
			out[i].Err = wrap("replay", adapters.ErrLive)
		} else if holder := b.holder(l.Message.Unique.Key, now); holder != "" {
			out[i].Err = wrap("replay", adapters.KeyTaken(holder))
		} else if !r.DryRun {
			b.replay(l, r.Delay, now)
		}
	}
	return out, nil
}

func (c *core) replay(l *letter, delay time.Duration, now time.Time) {
	e, t := l.entry, &task{msg: l.Message, entry: l.entry}
	var notBefore time.Time
	if delay > 0 {
		notBefore = now.Add(delay)
	}
	t.msg.State = adapters.Replayed(l.Message.State, notBefore)
	t.msg.State.Epoch = c.next(t.msg.State.Epoch, now)
	c.unbury(l)
	c.unsave(e)
	c.forget(e)
	e.task = t
	c.arrive(t, t.msg.Queue, now)
	c.reserve(t, now)
	c.updated(e, now)
}

// PurgeDeadLetters implements stem.Inspector.
func (b *broker) PurgeDeadLetters(_ context.Context, q stem.DeadLetterQuery) (int, error) {
	if _, err := b.change(); err != nil {
		return 0, wrap("purge dead letters", err)
	}
	defer b.mu.Unlock()
	found, _ := b.find(q, q.Offset, q.Limit)
	for _, l := range found {
		b.unbury(l)
		b.tidy(l.entry)
	}
	return len(found), nil
}

// Outdate implements adapters.Lane.
func (b *broker) Outdate(_ context.Context, ids []string, epochs []stem.Epoch) error {
	if _, err := b.change(); err != nil {
		return wrap("outdate", err)
	}
	defer b.mu.Unlock()
	for i, id := range ids {
		if e := b.entries[id]; e != nil && e.letter != nil && e.letter.Message.State.Epoch < epochs[i] {
			b.unbury(e.letter)
			b.tidy(e)
		}
	}
	return nil
}
