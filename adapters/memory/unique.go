package memory

import (
	"time"

	"github.com/stemd/stem/adapters"
)

// reservation is a unique key in the hands of a task.
type reservation struct {
	key    string
	holder string // task id
	until  time.Time
	at     int // in core.lapsing
}

// holder is the task that holds a key now; empty: nobody does, or there is no key.
func (c *core) holder(key string, now time.Time) string {
	if key == "" {
		return ""
	}
	if r := c.keys[key]; r != nil && r.until.After(now) {
		return r.holder
	}
	return ""
}

// reserve takes or renews the key of a live task, unless another one holds it.
func (c *core) reserve(t *task, now time.Time) {
	u := t.msg.Unique
	if u.Key == "" {
		return
	}
	if holder := c.holder(u.Key, now); holder != "" && holder != t.msg.ID {
		return
	}
	busy := now
	for _, at := range []time.Time{t.msg.State.NotBefore, t.until} {
		if at.After(busy) {
			busy = at
		}
	}
	r := c.keys[u.Key]
	if r == nil {
		r = &reservation{key: u.Key}
		c.keys[u.Key] = r
	} else {
		c.lapsing.remove(r)
	}
	if until := busy.Add(adapters.ReservedFor(u)); r.holder != t.msg.ID || until.After(r.until) {
		r.holder, r.until = t.msg.ID, until
	}
	c.lapsing.push(r)
}

// unreserve gives up the key of a task that ended.
func (c *core) unreserve(t *task) {
	if r := c.keys[t.msg.Unique.Key]; r != nil && r.holder == t.msg.ID {
		c.lapse(r)
	}
}

func (c *core) lapse(r *reservation) {
	delete(c.keys, r.key)
	c.lapsing.remove(r)
}
