package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

const (
	// memberMax is how many members of a group one script writes.
	memberMax = 1000
	// generationSize is the length of a group's generation, which tells it from earlier groups of its id.
	generationSize = 12
)

// groupStates by the numbers of lua/group.lua.
var groupStates = [...]stem.GroupState{stem.GroupUnknown, stem.GroupOpen, stem.GroupFiring, stem.GroupFired, stem.GroupDone, stem.GroupFailed}

// ends of members by their numbers.
var ends = [...]stem.TaskState{"", stem.Succeeded, stem.Failed, stem.Cancelled}

func endOf(s stem.TaskState) byte {
	for n, end := range ends {
		if end == s {
			return byte(n)
		}
	}
	return 0
}

// OpenGroups implements stem.Groups.
func (r *results) OpenGroups(ctx context.Context, groups ...stem.Group) error {
	if err := r.mayWrite("open groups"); err != nil {
		return err
	}
	for _, g := range groups {
		if err := adapters.CheckGroup(g); err != nil {
			return r.wrap("open groups", err)
		}
	}
	for i := range groups {
		if err := shard(r.shards, groups[i].ID).openGroup(ctx, &groups[i]); err != nil {
			return r.wrap("open groups", err)
		}
	}
	return nil
}

// openGroup writes the members first, so that nobody sees a group that is not whole.
func (d *db) openGroup(ctx context.Context, g *stem.Group) error {
	meta, err := json.Marshal(g.Meta)
	if err != nil {
		return err
	}
	data := blob(nil, meta)
	for _, id := range g.Members {
		data = name(data, id)
	}
	var callback []byte
	if g.Callback != nil {
		if callback, err = stem.EncodeMessage(g.Callback); err != nil {
			return err
		}
	}
	random := make([]byte, generationSize/2)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	generation, keys := hex.EncodeToString(random), d.keys.lanes()
	for members := g.Members; len(members) > 0; {
		part := members[:min(len(members), memberMax)]
		members = members[len(part):]
		args := append([]any{g.ID, generation, adapters.GroupLife(g.TTL).Microseconds(), len(g.Members), flag(g.Callback != nil), flag(len(members) == 0), data, callback}, anys(part)...)
		if err := d.run(ctx, "opengroup", keys, args...).Err(); err != nil {
			return err
		}
		data, callback = nil, nil
	}
	return nil
}

// LoadGroups implements stem.Groups.
func (r *results) LoadGroups(ctx context.Context, ids ...string) ([]*stem.GroupStatus, error) {
	out := make([]*stem.GroupStatus, len(ids))
	ps := portions(r.shards, len(ids), func(i int) *db { return shard(r.shards, ids[i]) })
	err := r.scatter(ctx, "loadgroup", ps, func(d *db, at []int) (*call, int, error) { return d.callOf(ids[at[0]]), 1, nil }, func(c *call) error {
		values, err := c.cmd.Slice()
		if err == nil && len(values) > 0 {
			out[c.msgs[0]], err = decodeGroup(ids[c.msgs[0]], values)
		}
		return err
	})
	if err != nil {
		return nil, r.wrap("load groups", err)
	}
	return out, nil
}

func decodeGroup(id string, values []any) (*stem.GroupStatus, error) {
	g := &stem.GroupStatus{
		Group: stem.Group{ID: id, TTL: time.Duration(values[1].(int64)) * time.Microsecond},
		State: groupStates[values[0].(int64)], Ended: map[string]stem.TaskState{}, Expires: at(values[2].(int64)),
	}
	data := &reader{s: values[3].(string)}
	if err := json.Unmarshal([]byte(data.blob()), &g.Meta); err != nil {
		return nil, err
	}
	for n := 5; data.s != "" && n < len(values); n++ {
		member := data.name()
		g.Members = append(g.Members, member)
		if end := ends[values[n].(int64)]; end != "" {
			g.Ended[member] = end
		}
	}
	if data.err != nil {
		return nil, data.err
	}
	if callback := values[4].(string); callback != "" {
		var err error
		if g.Callback, err = stem.DecodeMessage([]byte(callback)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Tally implements stem.Groups.
func (r *results) Tally(ctx context.Context, tallies ...stem.Tally) ([]stem.Tallied, error) {
	if err := r.mayWrite("tally"); err != nil {
		return nil, err
	}
	out := make([]stem.Tallied, len(tallies))
	ps := portions(r.shards, len(tallies), func(i int) *db { return shard(r.shards, tallies[i].Group) })
	err := r.scatter(ctx, "tally", ps, func(d *db, at []int) (*call, int, error) {
		c, n := d.callOf(), min(len(at), loadMax)
		for _, i := range at[:n] {
			t := &tallies[i]
			c.args = append(c.args, t.Group, t.TaskID, int64(t.Epoch), int(endOf(t.State)))
		}
		return c, n, nil
	}, func(c *call) error {
		values, err := c.cmd.Slice()
		if err != nil {
			return err
		}
		for n, i := range c.msgs {
			out[i].State = groupStates[values[2*n].(int64)]
			if callback := values[2*n+1].(string); callback != "" {
				if out[i].Callback, err = stem.DecodeMessage([]byte(callback)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, r.wrap("tally", err)
	}
	return out, nil
}

// Fired implements stem.Groups.
func (r *results) Fired(ctx context.Context, ids ...string) error {
	if err := r.mayWrite("fired"); err != nil {
		return err
	}
	ps := portions(r.shards, len(ids), func(i int) *db { return shard(r.shards, ids[i]) })
	return r.wrap("fired", r.scatter(ctx, "fired", ps, func(d *db, at []int) (*call, int, error) {
		c := d.callOf()
		for _, i := range at {
			c.args = append(c.args, ids[i])
		}
		return c, len(at), nil
	}, nil))
}
