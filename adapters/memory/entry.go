package memory

import (
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// entry is everything known under one task id: the live task, the status that was saved, the dead letter, the memory of a
// chosen id, and who watches. It goes when nothing of that is left.
type entry struct {
	id     string
	task   *task   // nil: not live
	letter *letter // nil: none

	saved    *stem.Status // nil: none
	expires  time.Time    // of saved
	expiryAt int

	seenUntil time.Time // zero: not remembered
	seenAt    int

	watchers []*watcher

	// Entries with a status are in core.recent.
	updated    time.Time
	stamp      uint64 // of the last update; 0: not in the list
	newer, old *entry
}

// recency lists entries by their last update.
type recency struct {
	newest *entry
	stamp  uint64
}

func (l *recency) touch(e *entry) {
	l.stamp++
	if l.newest != e {
		l.remove(e)
		e.old = l.newest
		if e.old != nil {
			e.old.newer = e
		}
		l.newest = e
	}
	e.stamp = l.stamp
}

func (l *recency) remove(e *entry) {
	if e.stamp == 0 {
		return
	}
	if e.newer != nil {
		e.newer.old = e.old
	} else {
		l.newest = e.old
	}
	if e.old != nil {
		e.old.newer = e.newer
	}
	e.newer, e.old, e.stamp = nil, nil, 0
}

// entry is the entry of an id, made when there is none.
func (c *core) entry(id string) *entry {
	e := c.entries[id]
	if e == nil {
		e = &entry{id: id}
		c.entries[id] = e
	}
	return e
}

// status is what is known of an entry's task: derived while it is live, else as saved and not expired.
func (e *entry) status(now time.Time) (stem.Status, bool) {
	saved := e.saved
	if saved != nil && !e.expires.After(now) {
		saved = nil
	}
	if t := e.task; t != nil {
		return adapters.LiveStatus(t.msg, t.owner, e.updated, saved), true
	}
	if saved == nil {
		return stem.Status{}, false
	}
	return *saved, true
}

// save keeps a status if it is fresh and says whether it was.
func (c *core) save(e *entry, s stem.Status, ttl time.Duration, now time.Time) bool {
	if e.task != nil && s.Epoch < e.task.msg.State.Epoch || !adapters.Fresh(e.saved, s.Epoch) {
		return false
	}
	c.unsave(e)
	s.UpdatedAt = now
	e.saved, e.expires = &s, now.Add(adapters.ResultLife(ttl))
	c.expiry.push(e)
	return true
}

func (c *core) unsave(e *entry) {
	if e.saved != nil {
		c.expiry.remove(e)
		e.saved = nil
	}
}

// remember keeps the id of a task that ended, if it was chosen.
func (c *core) remember(e *entry, m *stem.Message, now time.Time) {
	if !m.GeneratedID && c.opts.Dedupe > 0 {
		c.forget(e)
		e.seenUntil = now.Add(c.opts.Dedupe)
		c.seen.push(e)
	}
}

func (c *core) forget(e *entry) {
	if !e.seenUntil.IsZero() {
		c.seen.remove(e)
		e.seenUntil = time.Time{}
	}
}

// updated makes an entry the newest, tells its watchers, and drops it when nothing is left of it.
func (c *core) updated(e *entry, now time.Time) {
	if e.task == nil && e.saved == nil {
		c.recent.remove(e)
		c.tidy(e)
		return
	}
	e.updated = now
	c.recent.touch(e)
	if len(e.watchers) > 0 {
		c.tell(e, now)
	}
}

// tidy drops an entry of which nothing is left.
func (c *core) tidy(e *entry) {
	if e.task == nil && e.saved == nil && e.letter == nil && e.seenUntil.IsZero() && len(e.watchers) == 0 {
		delete(c.entries, e.id)
	}
}
