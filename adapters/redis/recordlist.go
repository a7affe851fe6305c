package redis

import (
	"context"
	"fmt"
	"slices"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// List implements stem.Records. The cursor is due time and version of the last item.
func (r *records) List(ctx context.Context, q stem.RecordQuery) (stem.RecordPage, error) {
	var page stem.RecordPage
	var due, version int64
	if q.Cursor != "" {
		if _, err := fmt.Sscanf(q.Cursor, "%d.%d", &due, &version); err != nil {
			return page, r.wrap("list records", adapters.BadCursor(q.Cursor))
		}
	}
	limit := adapters.RecordLimit(q.Limit)
	byDue := !q.DueBefore.IsZero()
	if !byDue {
		version = max(version, q.AfterVersion)
	}
	for {
		values, now, err := r.index(ctx, q, due, version, limit+1)
		if err != nil {
			return page, r.wrap("list records", err)
		}
		for _, v := range values {
			value, ok := v.(string)
			if !ok {
				continue
			}
			rec, err := decodeRecord(value)
			if err != nil {
				return page, r.wrap("list records", err)
			}
			if matches(q, rec) && rec.Version > q.AfterVersion && !expired(rec, at(now)) {
				if len(page.Items) == limit {
					last := page.Items[limit-1]
					page.Next = fmt.Sprintf("%d.%d", us(last.Due), last.Version)
					return page, nil
				}
				page.Items = append(page.Items, *rec)
			}
			due, version = us(rec.Due), rec.Version
		}
		if len(values) <= limit {
			return page, nil
		}
	}
}

func matches(q stem.RecordQuery, r *stem.Record) bool {
	return r.Kind == q.Kind && (q.Part == nil || r.Part == *q.Part) && (q.Tag == "" || slices.Contains(r.Tags, q.Tag))
}

// beyond sorts behind every field, as these begin with a length below maxReference, and behind every number.
const beyond = "\xff\xff\xff"

// index reads up to n records after a place in the list that a query goes along, with the store's time.
func (r *records) index(ctx context.Context, q stem.RecordQuery, due, version int64, n int) (values []any, now int64, err error) {
	prefix := "V" + q.Kind + "\x00"
	switch {
	case !q.DueBefore.IsZero():
		prefix = "D" + q.Kind + "\x00"
	case q.Part != nil:
		prefix = "P" + q.Kind + "\x00" + *q.Part + "\x00"
	case q.Tag != "":
		prefix = "T" + q.Kind + "\x00" + q.Tag + "\x00"
	}
	// What comes after a place is greater than the place itself with a field beyond all fields.
	from, to, skip := fmt.Sprintf("(%s%016d%s", prefix, version, beyond), "("+prefix+beyond, len(prefix)+16
	if !q.DueBefore.IsZero() {
		from = fmt.Sprintf("(%s%016d%016d%s", prefix, due, version, beyond)
		to, skip = fmt.Sprintf("(%s%016d%s", prefix, us(q.DueBefore), beyond), skip+16
	}
	values, err = r.run(ctx, "recordlist", r.keys.lanes(), from, to, skip, n).Slice()
	if err != nil {
		return nil, 0, err
	}
	return values[1:], values[0].(int64), nil
}
