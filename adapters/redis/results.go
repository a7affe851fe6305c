package redis

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// results is the Results of a db, or of a namespace whose results lie on several.
type results struct {
	*db
	shards []*db // by task and group id; one: db itself
}

var _ stem.Results = (*results)(nil)

// loadMax is how many ids one script reads.
const loadMax = 500

func lifeOf(ttl time.Duration) int64 { return adapters.ResultLife(ttl).Microseconds() }

// Save implements stem.Results.
func (r *results) Save(ctx context.Context, writes ...stem.StatusWrite) error {
	if err := adapters.CheckStatuses(writes); err != nil {
		return r.wrap("save results", err)
	}
	if err := r.mayWrite("save results"); err != nil {
		return err
	}
	at := make([]int, len(writes))
	for i := range at {
		at[i] = i
	}
	for looked := byte(0); len(at) > 0; looked = 1 {
		left := at
		at = nil // those of tasks that are in inboxes
		ps := portions(r.shards, len(left), func(i int) *db { return shard(r.shards, writes[left[i]].Status.ID) })
		err := r.scatter(ctx, "save", ps, func(d *db, which []int) (*call, int, error) {
			return d.saveCall(writes, left, which, looked)
		}, func(c *call) error {
			boxed, err := c.cmd.Int()
			if err != nil || boxed == 0 {
				return err
			}
			var ids []string
			for _, i := range c.msgs {
				at, ids = append(at, left[i]), append(ids, writes[left[i]].Status.ID)
			}
			return c.db.sortFor(ctx, ids...)
		})
		if err != nil {
			return r.wrap("save results", err)
		}
	}
	return nil
}

// saveCall saves as many of these writes as fit into one call: those at the indexes that are at these places.
func (d *db) saveCall(writes []stem.StatusWrite, indexes, at []int, looked byte) (c *call, n int, err error) {
	c = d.callOf(looked)
	for size := 0; n < len(at) && n < loadMax && size < settleBytes; n++ {
		w := &writes[indexes[at[n]]]
		status, err := stem.EncodeStatus(&w.Status)
		if err != nil {
			return nil, 0, err
		}
		head := number(number(nil, int64(w.Status.Epoch)), lifeOf(w.TTL))
		c.args = append(c.args, append(head, flag(w.Status.State.Terminal())), w.Status.ID, status)
		size += len(status)
	}
	return c, n, nil
}

// known is what is known of a task.
type known struct {
	live  *stem.Message // nil: not live
	state state         // of live
	kept  *stem.Status  // nil: none, or expired
}

// status is what adapters show of it.
func (k *known) status() *stem.Status {
	if k.live == nil {
		return k.kept
	}
	s := adapters.LiveStatus(*k.live, k.state.owner, at(k.state.updated), k.kept)
	return &s
}

// Load implements stem.Results.
func (r *results) Load(ctx context.Context, ids ...string) ([]*stem.Status, error) {
	_ = r.booked(ctx) // what can not be is somebody's
	all, err := r.loadOf(ctx, r.shards, ids)
	if err != nil {
		return nil, r.wrap("load results", err)
	}
	out := make([]*stem.Status, len(ids))
	for i := range all {
		out[i] = all[i].status()
	}
	return out, nil
}

// load reads what this db knows of tasks.
func (d *db) load(ctx context.Context, ids []string) ([]known, error) {
	return d.loadOf(ctx, []*db{d}, ids)
}

func (d *db) loadOf(ctx context.Context, shards []*db, ids []string) ([]known, error) {
	out, left := make([]known, len(ids)), make([]int, len(ids))
	for i := range left {
		left[i] = i
	}
	boxed, err := d.loadThose(ctx, shards, ids, left, out)
	if err != nil || len(boxed) == 0 {
		return out, err
	}
	there := map[string]known{}
	for d, queues := range boxed {
		done, err := d.sorted(ctx, queues...)
		if err != nil {
			return out, err
		}
		if !done {
			found, err := d.peek(ctx, queues)
			if err != nil {
				return out, err
			}
			maps.Copy(there, found)
		}
	}
	left = left[:0]
	for i := range out {
		if out[i].status() == nil {
			out[i] = there[ids[i]]
			left = append(left, i)
		}
	}
	left = slices.DeleteFunc(left, func(i int) bool { return out[i].live != nil })
	_, err = d.loadThose(ctx, shards, ids, left, out) // what is sorted now
	return out, err
}

// loadThose reads what is known of the tasks at these indexes, and says in which inboxes those are of which nothing else is known.
func (d *db) loadThose(ctx context.Context, shards []*db, ids []string, left []int, out []known) (boxed map[*db][]string, err error) {
	for len(left) > 0 {
		asked := left
		left = nil // those that were too much for one answer
		ps := portions(shards, len(asked), func(i int) *db { return shard(shards, ids[asked[i]]) })
		err := d.scatter(ctx, "load", ps, func(d *db, at []int) (*call, int, error) {
			c, n := d.callOf(), min(len(at), loadMax)
			for _, i := range at[:n] {
				c.args = append(c.args, ids[asked[i]])
			}
			return c, n, nil
		}, func(c *call) error {
			values, err := c.cmd.Slice()
			if err != nil {
				return err
			}
			now := values[0].(int64)
			for _, q := range values[1].([]any) {
				if boxed == nil {
					boxed = map[*db][]string{}
				}
				if q := q.(string); !slices.Contains(boxed[c.db], q) {
					boxed[c.db] = append(boxed[c.db], q)
				}
			}
			for n, i := range c.msgs {
				v := values[min(2+3*n, len(values)):]
				if len(v) == 0 {
					left = append(left, asked[i])
				} else if out[asked[i]], err = decodeKnown(now, v[0].(string), v[1].(string), v[2].(string)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return boxed, nil
}

func decodeKnown(now int64, value, message, result string) (k known, err error) {
	if value != "" {
		if k.state, err = decodeState(value); err != nil {
			return k, err
		}
		m, err := decodeMessage(k.state, message)
		if err != nil {
			return k, err
		}
		k.live = &m
	}
	if result != "" {
		k.kept, err = decodeResult(now, result)
	}
	return k, err
}

// decodeResult reads what lua/result.lua keeps; nil: it has expired.
func decodeResult(now int64, value string) (*stem.Status, error) {
	r := &reader{s: value}
	epoch, updated, expires, _ := r.number(), r.number(), r.number(), r.byte()
	if r.err != nil || expires <= now {
		return nil, r.err
	}
	s, err := stem.DecodeStatus([]byte(r.s))
	if err != nil {
		return nil, err
	}
	s.Epoch, s.UpdatedAt = stem.Epoch(epoch), at(updated)
	return s, nil
}

// Expire implements stem.Results.
func (r *results) Expire(ctx context.Context, ttl time.Duration, ids ...string) error {
	if err := r.mayWrite("expire"); err != nil {
		return err
	}
	ps := portions(r.shards, len(ids), func(i int) *db { return shard(r.shards, ids[i]) })
	return r.wrap("expire", r.scatter(ctx, "expire", ps, func(d *db, at []int) (*call, int, error) {
		c, n := d.callOf(max(ttl, 0).Microseconds()), min(len(at), loadMax)
		for _, i := range at[:n] {
			c.args = append(c.args, ids[i])
		}
		return c, n, nil
	}, nil))
}
