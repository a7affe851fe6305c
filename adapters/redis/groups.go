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
		if err := r.openGroup(ctx, &groups[i]); err != nil {
			return r.wrap("open groups", err)
		}
	}
	return nil
}

// openGroup writes the members first, so that nobody sees a group that is not whole.
func (r *results) openGroup(ctx context.Context, g *stem.Group) error {
	meta, err := json.Marshal(g.Meta)
	if err != nil {
		return err
	}
	data := blob(nil, meta)
	for _, id := range g.Members {
		data = name(data, id)
	}
	var callback []byte
	var called int
	if g.Callback != nil {
		called = 1
		if callback, err = stem.EncodeMessage(g.Callback); err != nil {
			return err
		}
	}
	ttl := g.TTL
	if ttl <= 0 {
		ttl = stem.DefaultGroupTTL
	}
	random := make([]byte, generationSize/2)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	generation, keys := hex.EncodeToString(random), r.keys.lanes()
	for members := g.Members; len(members) > 0; {
		part := members[:min(len(members), memberMax)]
		members = members[len(part):]
		last := 0
		if len(members) == 0 {
			last = 1
		}
		args := append([]any{g.ID, generation, ttl.Microseconds(), len(g.Members), called, last, data, callback}, anys(part)...)
		if err := r.run(ctx, "opengroup", keys, args...).Err(); err != nil {
			return err
		}
		data, callback = nil, nil
	}
	return nil
}

// LoadGroups implements stem.Groups.
func (r *results) LoadGroups(ctx context.Context, ids ...string) ([]*stem.GroupStatus, error) {
	out := make([]*stem.GroupStatus, len(ids))
	for i, id := range ids {
		values, err := r.run(ctx, "loadgroup", r.keys.lanes(), id).Slice()
		if err != nil {
			return nil, r.wrap("load groups", err)
		}
		if len(values) == 0 {
			continue
		}
		if out[i], err = decodeGroup(id, values); err != nil {
			return nil, r.wrap("load groups", err)
		}
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
	out := make([]stem.Tallied, 0, len(tallies))
	for len(tallies) > 0 {
		part := tallies[:min(len(tallies), loadMax)]
		tallies = tallies[len(part):]
		var args []any
		for _, t := range part {
			args = append(args, t.Group, t.TaskID, int64(t.Epoch), int(endOf(t.State)))
		}
		values, err := r.run(ctx, "tally", r.keys.lanes(), args...).Slice()
		if err != nil {
			return nil, r.wrap("tally", err)
		}
		for i := 0; i+1 < len(values); i += 2 {
			t := stem.Tallied{State: groupStates[values[i].(int64)]}
			if callback := values[i+1].(string); callback != "" {
				if t.Callback, err = stem.DecodeMessage([]byte(callback)); err != nil {
					return nil, r.wrap("tally", err)
				}
			}
			out = append(out, t)
		}
	}
	return out, nil
}

// Fired implements stem.Groups.
func (r *results) Fired(ctx context.Context, ids ...string) error {
	if err := r.mayWrite("fired"); err != nil {
		return err
	}
	return r.wrap("fired", r.run(ctx, "fired", r.keys.lanes(), anys(ids)...).Err())
}
