package redis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// records is the Records of a db.
type records struct{ *db }

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
	fields := make([]string, len(refs))
	for i, ref := range refs {
		fields[i] = field(ref)
	}
	var values []any
	now, err := r.readAt(ctx, func(pipe redis.Pipeliner) func() error {
		cmd := pipe.HMGet(ctx, r.keys.key(recordsKey), fields...)
		return func() (err error) { values, err = cmd.Result(); return err }
	})
	if err != nil {
		return nil, r.wrap("load records", err)
	}
	for i, v := range values {
		value, ok := v.(string)
		if !ok {
			continue
		}
		rec, err := decodeRecord(value)
		if err != nil {
			return nil, r.wrap("load records", err)
		}
		if expired(rec, now) {
			continue
		}
		out[i] = rec
	}
	return out, nil
}

// readAt reads in one round trip and tells the store's time of it.
func (d *db) readAt(ctx context.Context, read func(redis.Pipeliner) func() error) (time.Time, error) {
	pipe := d.client.Pipeline()
	result := read(pipe)
	now := pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return time.Time{}, err
	}
	if d.ownClock {
		return d.opts.Now(), result()
	}
	return now.Val(), result()
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
		got, err := r.run(ctx, "records", r.keys.lanes(), args...).Int64Slice()
		if err == nil && len(got) == 0 {
			err = stem.ErrConflict
		}
		if err != nil {
			return versions, r.wrap("save records", err)
		}
		for n, i := range part {
			versions[i] = got[n]
		}
	}
	return versions, nil
}
