package redis

import (
	"context"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// results is the Results of a db.
type results struct{ *db }

var _ stem.Results = (*results)(nil)

// loadMax is how many ids one script reads.
const loadMax = 500

func lifeOf(ttl time.Duration) int64 {
	if ttl <= 0 {
		ttl = stem.DefaultResultTTL
	}
	return ttl.Microseconds()
}

// Save implements stem.Results.
func (r *results) Save(ctx context.Context, writes ...stem.StatusWrite) error {
	if err := r.mayWrite("save results"); err != nil {
		return err
	}
	lanes := r.keys.lanes()
	for len(writes) > 0 {
		var args []any
		n, size := 0, 0
		for ; n < len(writes) && n < loadMax && size < settleBytes; n++ {
			s := &writes[n].Status
			status, err := stem.EncodeStatus(s)
			if err != nil {
				return r.wrap("save results", err)
			}
			head := number(number(nil, int64(s.Epoch)), lifeOf(writes[n].TTL))
			var terminal byte
			if s.State.Terminal() {
				terminal = 1
			}
			args = append(args, append(head, terminal), s.ID, status)
			size += len(status)
		}
		if err := r.run(ctx, "save", lanes, args...).Err(); err != nil {
			return r.wrap("save results", err)
		}
		writes = writes[n:]
	}
	return nil
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
	all, err := r.load(ctx, ids)
	if err != nil {
		return nil, r.wrap("load results", err)
	}
	out := make([]*stem.Status, len(ids))
	for i := range all {
		out[i] = all[i].status()
	}
	return out, nil
}

func (d *db) load(ctx context.Context, ids []string) ([]known, error) {
	out := make([]known, 0, len(ids))
	keys := d.keys.lanes()
	for len(ids) > 0 {
		part := ids[:min(len(ids), loadMax)]
		ids = ids[len(part):]
		values, err := d.run(ctx, "load", keys, anys(part)...).Slice()
		if err != nil {
			return nil, err
		}
		now := values[0].(int64)
		for i := 1; i+2 < len(values); i += 3 {
			k, err := decodeKnown(now, values[i].(string), values[i+1].(string), values[i+2].(string))
			if err != nil {
				return nil, err
			}
			out = append(out, k)
		}
	}
	return out, nil
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
	for len(ids) > 0 {
		part := ids[:min(len(ids), loadMax)]
		ids = ids[len(part):]
		args := append([]any{max(ttl, 0).Microseconds()}, anys(part)...)
		if err := r.run(ctx, "expire", r.keys.lanes(), args...).Err(); err != nil {
			return r.wrap("expire", err)
		}
	}
	return nil
}
