package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// group is a group with what it has counted.
type group struct {
	stem.Group
	state     stem.GroupState
	ends      map[string]end // by member; the zero end: it has not ended
	ended     int
	succeeded int
	expires   time.Time
	at        int // in core.ebbing
}

type end struct {
	epoch stem.Epoch
	state stem.TaskState
}

// OpenGroups implements stem.Groups.
func (r *results) OpenGroups(_ context.Context, groups ...stem.Group) error {
	for _, g := range groups {
		if err := adapters.CheckGroup(g); err != nil {
			return wrap("open groups", err)
		}
	}
	now, err := r.change()
	if err != nil {
		return wrap("open groups", err)
	}
	defer r.mu.Unlock()
	for _, g := range groups {
		if old := r.groups[g.ID]; old != nil {
			r.dissolve(old)
		}
		g.TTL = adapters.GroupLife(g.TTL)
		fresh := &group{Group: g, state: stem.GroupOpen, ends: make(map[string]end, len(g.Members)), expires: now.Add(g.TTL)}
		fresh.Members, fresh.Meta = slices.Clone(g.Members), maps.Clone(g.Meta)
		for _, id := range g.Members {
			fresh.ends[id] = end{}
		}
		r.groups[g.ID] = fresh
		r.ebbing.push(fresh)
	}
	return nil
}

// LoadGroups implements stem.Groups.
func (r *results) LoadGroups(_ context.Context, ids ...string) ([]*stem.GroupStatus, error) {
	now, err := r.enter()
	if err != nil {
		return nil, wrap("load groups", err)
	}
	defer r.mu.Unlock()
	out := make([]*stem.GroupStatus, len(ids))
	for i, id := range ids {
		g := r.group(id, now)
		if g == nil {
			continue
		}
		out[i] = &stem.GroupStatus{Group: g.Group, State: g.state, Ended: map[string]stem.TaskState{}, Expires: g.expires}
		for id, end := range g.ends {
			if end.state != "" {
				out[i].Ended[id] = end.state
			}
		}
	}
	return out, nil
}

// Tally implements stem.Groups.
func (r *results) Tally(_ context.Context, tallies ...stem.Tally) ([]stem.Tallied, error) {
	now, err := r.change()
	if err != nil {
		return nil, wrap("tally", err)
	}
	defer r.mu.Unlock()
	out := make([]stem.Tallied, len(tallies))
	for i, t := range tallies {
		if g := r.tally(t, now); g != nil {
			out[i].State = g.state
			if g.state == stem.GroupFiring {
				out[i].Callback = g.Callback
			}
		}
	}
	return out, nil
}

// Fired implements stem.Groups.
func (r *results) Fired(_ context.Context, ids ...string) error {
	now, err := r.change()
	if err != nil {
		return wrap("fired", err)
	}
	defer r.mu.Unlock()
	for _, id := range ids {
		if g := r.group(id, now); g != nil && g.state == stem.GroupFiring {
			g.state = stem.GroupFired
		}
	}
	return nil
}

// group is the group of an id unless it has expired.
func (c *core) group(id string, now time.Time) *group {
	if g := c.groups[id]; g != nil && g.expires.After(now) {
		return g
	}
	return nil
}

// count tallies an end and publishes the callback when it was the last.
func (c *core) count(t stem.Tally, now time.Time) {
	if g := c.tally(t, now); g != nil && g.state == stem.GroupFiring {
		c.publish(g.Callback, now)
		g.state = stem.GroupFired
	}
}

func (c *core) tally(t stem.Tally, now time.Time) *group {
	g := c.group(t.Group, now)
	if g == nil {
		return nil
	}
	old, member := g.ends[t.TaskID]
	if !member || !t.State.Terminal() || old.state != "" && t.Epoch <= old.epoch {
		return g
	}
	if old.state == "" {
		g.ended++
	}
	if old.state == stem.Succeeded {
		g.succeeded--
	}
	if t.State == stem.Succeeded {
		g.succeeded++
	}
	g.ends[t.TaskID] = end{t.Epoch, t.State}
	g.state = stem.GroupStateOf(g.state, len(g.Members), g.ended, g.succeeded, g.Callback != nil)
	if until := now.Add(g.TTL); until.After(g.expires) {
		c.ebbing.remove(g)
		g.expires = until
		c.ebbing.push(g)
	}
	return g
}

func (c *core) dissolve(g *group) {
	delete(c.groups, g.ID)
	c.ebbing.remove(g)
}
