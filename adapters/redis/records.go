package redis

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// records is the Records of a db, or of a namespace whose records lie on several.
type records struct {
	*db
	shards []*db // by kind and part; one: db itself
	tide   *tide // nil: versions of different parts need not be in order
}

func (r *records) of(ref stem.RecordRef) *db { return shard(r.shards, ref.Kind, ref.Part) }

var _ stem.Records = (*records)(nil)

// field is where a record is kept. Each part is behind its length, so no two references share one.
func field(ref stem.RecordRef) string {
	b := name(name(nil, ref.Kind), ref.Part)
	return string(name(b, ref.ID))
}

// Load implements stem.Records.
func (r *records) Load(ctx context.Context, refs ...stem.RecordRef) ([]*stem.Record, error) {
	out := make([]*stem.Record, len(refs))
	if len(refs) == 0 {
		return out, nil
	}
	ps := portions(r.shards, len(refs), func(i int) *db { return r.of(refs[i]) })
	now, err := ps[0].readAt(ctx, func(pipe redis.Pipeliner) func() error {
		cmds := make([]*redis.SliceCmd, len(ps))
		for n, p := range ps {
			fields := make([]string, len(p.at))
			for k, i := range p.at {
				fields[k] = field(refs[i])
			}
			cmds[n] = pipe.HMGet(ctx, p.keys.key(recordsKey), fields...)
		}
		return func() error {
			for n, p := range ps {
				if err := decodeInto(out, p.at, cmds[n].Val()); err != nil {
					return err
				}
			}
			return nil
		}
	})
	if err != nil {
		return nil, r.wrap("load records", err)
	}
	for i, rec := range out {
		if rec == nil {
			continue
		}
		if r.tide.rise(rec.Version); expired(rec, now) {
			out[i] = nil
		}
	}
	return out, nil
}

func decodeInto(out []*stem.Record, at []int, values []any) (err error) {
	for n, i := range at {
		if value, ok := values[n].(string); ok && err == nil {
			out[i], err = decodeRecord(value)
		}
	}
	return err
}

// readAt reads in one round trip and tells the store's time of it.
func (d *db) readAt(ctx context.Context, read func(redis.Pipeliner) func() error) (time.Time, error) {
	pipe := d.client.Pipeline()
	result := read(pipe)
	now := d.askTime(ctx, pipe)
	if _, err := pipe.Exec(ctx); err != nil {
		return time.Time{}, err
	}
	return now(), result()
}

// askTime asks the node that all of this lies on, which the command TIME by itself would not, for the store's time.
func (d *db) askTime(ctx context.Context, server redis.Cmdable) func() time.Time {
	if d.ownClock {
		return d.opts.Now
	}
	if _, cluster := d.client.(*redis.ClusterClient); !cluster {
		return server.Time(ctx).Val
	}
	answer := server.Eval(ctx, "return redis.call('TIME')", []string{d.keys.key(metaKey)})
	return func() time.Time {
		t, err := answer.StringSlice()
		if err != nil || len(t) != 2 {
			return time.Now() // the pipeline has told the error
		}
		seconds, _ := strconv.ParseInt(t[0], 10, 64)
		micros, _ := strconv.ParseInt(t[1], 10, 64)
		return time.Unix(seconds, 1000*micros)
	}
}

func expired(r *stem.Record, now time.Time) bool { return !r.Expires.IsZero() && !r.Expires.After(now) }

func decodeRecord(value string) (*stem.Record, error) {
	d := &reader{s: value}
	var r stem.Record
	r.Version = d.number()
	r.Due, r.Expires, r.Updated = at(d.number()), at(d.number()), at(d.number())
	r.Kind, r.Part = d.name(), d.name()
	n := int(d.byte())
	for range n {
		r.Tags = append(r.Tags, d.name())
	}
	r.ID = d.name()
	if d.s != "" {
		r.Body = []byte(d.s)
	}
	return &r, d.err
}

// appendWrite gives the values that lua/record.lua takes: numbers, field, reference with tags and body.
func appendWrite(args []any, w *stem.RecordWrite) []any {
	r := &w.Record
	head := make([]byte, 0, 4*8+1)
	for _, n := range [...]int64{w.IfVersion, us(r.Due), us(r.Expires), max(w.TTL, 0).Microseconds()} {
		head = number(head, n)
	}
	value := append(name(name(nil, r.Kind), r.Part), byte(len(r.Tags)))
	for _, tag := range r.Tags {
		value = name(value, tag)
	}
	return append(args, append(head, byte(w.Op)), field(r.RecordRef), append(name(value, r.ID), r.Body...))
}

// maxReference bounds kind, part, id and tags of a record, in bytes.
const maxReference = 4096

func checkRecord(r stem.Record) error {
	for _, s := range append([]string{r.Kind, r.Part, r.ID}, r.Tags...) {
		if len(s) > maxReference {
			return &stem.SizeError{What: "reference or tag of a record", Size: len(s), Limit: maxReference}
		}
	}
	return adapters.CheckRecord(r)
}

// Save implements stem.Records. Each part is a script of its own.
func (r *records) Save(ctx context.Context, writes ...stem.RecordWrite) ([]int64, error) {
	for _, w := range writes {
		if err := checkRecord(w.Record); err != nil {
			return nil, r.wrap("save records", err)
		}
	}
	if err := r.mayWrite("save records"); err != nil {
		return nil, err
	}
	versions := make([]int64, len(writes))
	for _, part := range adapters.Parts(writes) {
		var args []any
		for _, i := range part {
			args = appendWrite(args, &writes[i])
		}
		got, err := r.write(ctx, r.of(writes[part[0]].Record.RecordRef), args)
		if err == nil && len(got) == 0 {
			err = stem.ErrConflict
		}
		if err != nil {
			return versions, r.wrap("save records", err)
		}
		for n, i := range part {
			versions[i] = got[n]
			r.tide.rise(got[n])
		}
	}
	return versions, nil
}

// write writes records of one part, at versions above all that this process knows of.
func (r *records) write(ctx context.Context, where *db, args []any) ([]int64, error) {
	keys := where.keys.lanes()
	if top := r.tide.level(); top > 0 {
		if err := where.run(ctx, "level", keys, top).Err(); err != nil {
			return nil, err
		}
	}
	return where.run(ctx, "records", keys, args...).Int64Slice()
}

// SaveApart saves each write for itself, all in one round trip to each node, and says which of them met another version.
func (r *records) SaveApart(ctx context.Context, writes ...stem.RecordWrite) ([]int64, []bool, error) {
	for _, w := range writes {
		if err := checkRecord(w.Record); err != nil {
			return nil, nil, r.wrap("save records", err)
		}
	}
	if err := r.mayWrite("save records"); err != nil {
		return nil, nil, err
	}
	versions, conflicts := make([]int64, 0, len(writes)), make([]bool, 0, len(writes))
	for part := range slices.Chunk(writes, apartMax) {
		calls := make([]*call, len(part))
		for i := range part {
			d := r.of(part[i].Record.RecordRef)
			calls[i] = d.callOf(appendWrite(nil, &part[i])...)
			calls[i].script = "records"
		}
		if err := r.runAll(ctx, calls); err != nil {
			return nil, nil, r.wrap("save records", err)
		}
		for _, c := range calls {
			got, err := c.cmd.Int64Slice()
			if err != nil {
				return nil, nil, r.wrap("save records", err)
			}
			version := int64(0)
			if len(got) > 0 {
				version = got[0]
			}
			versions, conflicts = append(versions, version), append(conflicts, len(got) == 0)
		}
	}
	return versions, conflicts, nil
}

// apartMax is how many writes go together.
const apartMax = 256
