package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// List implements stem.Records. The cursor is due time and version of the last item, and where it lies when there are several parts.
func (r *records) List(ctx context.Context, q stem.RecordQuery) (stem.RecordPage, error) {
	var page stem.RecordPage
	from, err := r.start(ctx, q)
	if err != nil {
		return page, r.wrap("list records", err)
	}
	limit := adapters.RecordLimit(q.Limit)
	for all := r.listing(ctx, q, from, limit); ; {
		rec, ok, err := all.next()
		if err != nil || !ok {
			return page, r.wrap("list records", err)
		}
		if len(page.Items) == limit {
			page.Next = from.String()
			return page, nil
		}
		page.Items = append(page.Items, rec.Record)
		r.tide.rise(rec.Version)
		from.due, from.version, from.part = us(rec.Due), rec.Version, rec.part
	}
}

// mark is a place in the lists of records: after the record of this due time and version in this part, before that of the next one.
type mark struct {
	due, version int64
	part         int
	until        int64  // no version above this; 0: any
	last         string // what was read last in this part, whatever it is; empty: nothing yet
}

func (m mark) String() string { return fmt.Sprintf("%d.%d.%d.%d", m.due, m.version, m.part, m.until) }

// start is where a list begins.
func (r *records) start(ctx context.Context, q stem.RecordQuery) (m mark, err error) {
	if q.Cursor != "" {
		if _, err := fmt.Sscanf(q.Cursor, "%d.%d.%d.%d", &m.due, &m.version, &m.part, &m.until); err != nil {
			return m, adapters.BadCursor(q.Cursor)
		}
		return m, nil
	}
	m.part = len(r.shards)
	if !q.DueBefore.IsZero() {
		return m, nil
	}
	m.version = q.AfterVersion
	if q.Part == nil && len(r.shards) > 1 && !r.opts.ReadOnly {
		m.until, err = r.level(ctx)
		m.until = max(m.until, 1) // with nothing written yet: nothing
	}
	return m, err
}

// level is a version that covers all that was written, and below which no part will write any more: a list that ends there has missed
// nothing that a later one, which begins there, would have to show, whosever clock is behind. Only a list over all parts needs it.
func (r *records) level(ctx context.Context) (int64, error) {
	top := int64(0)
	for _, demand := range []bool{false, true} {
		calls := make([]*call, len(r.shards))
		for i, d := range r.shards {
			calls[i] = d.callOf(top)
			calls[i].script = "level"
		}
		if err := r.runAll(ctx, calls); err != nil {
			return 0, err
		}
		for _, c := range calls {
			epoch, err := c.cmd.Int64()
			if err != nil {
				return 0, err
			}
			if !demand {
				top = max(top, epoch)
			}
		}
	}
	return top, nil
}

// filed is a record and the part that it lies in.
type filed struct {
	stem.Record
	part int
}

// listing gives the records after a place that a query is for, in order.
func (r *records) listing(ctx context.Context, q stem.RecordQuery, from mark, limit int) *merger[filed] {
	shards, piece := r.shards, limit+1
	if q.Part != nil {
		shards = []*db{r.of(stem.RecordRef{Kind: q.Kind, Part: *q.Part})}
	} else if len(shards) > 1 {
		piece = max(pieceMin, 2*limit/len(shards))
	}
	m := newMerger(len(shards), func(a, b filed) bool {
		return cmp.Or(cmp.Compare(dueOf(q, a), dueOf(q, b)), cmp.Compare(a.Version, b.Version), cmp.Compare(a.part, b.part)) < 0
	})
	marks := make([]mark, len(shards))
	for i := range marks {
		if marks[i] = from; i > from.part && len(shards) > 1 {
			marks[i].version-- // there may be one of the same version
		}
	}
	m.fill = func(which []int) error {
		calls := make([]*call, len(which))
		for n, i := range which {
			calls[n] = shards[i].index(q, marks[i], piece)
		}
		if err := r.runAll(ctx, calls); err != nil {
			return err
		}
		for n, i := range which {
			values, err := calls[n].cmd.Slice()
			if err != nil {
				return err
			}
			if m.lists[i], err = marks[i].take(q, values, i); err != nil {
				return err
			}
			m.ended[i] = len(values)-2 < piece
		}
		return nil
	}
	return m
}

func dueOf(q stem.RecordQuery, f filed) int64 {
	if q.DueBefore.IsZero() {
		return 0
	}
	return us(f.Due)
}

// take gives what a query is for of a piece of a list, behind the store's time and the last place in it, and moves on.
func (m *mark) take(q stem.RecordQuery, values []any, part int) (out []filed, err error) {
	now := at(values[0].(int64))
	m.last = values[1].(string)
	for _, v := range values[2:] {
		value, ok := v.(string)
		if !ok {
			continue // it went this moment, or is of another list
		}
		rec, err := decodeRecord(value)
		if err != nil {
			return nil, err
		}
		m.due, m.version = us(rec.Due), rec.Version
		if matches(q, rec) && rec.Version > q.AfterVersion && (m.until == 0 || rec.Version <= m.until) && !expired(rec, now) {
			out = append(out, filed{*rec, part})
		}
	}
	return out, nil
}

func matches(q stem.RecordQuery, r *stem.Record) bool {
	return r.Kind == q.Kind && (q.Part == nil || r.Part == *q.Part) && (q.Tag == "" || slices.Contains(r.Tags, q.Tag))
}

// beyond sorts behind every field, as these begin with a length below maxReference, and behind every number.
const beyond = "\xff\xff\xff"

// index is a call that reads up to n records after a place in the list that a query goes along, behind the store's time and the last place.
func (d *db) index(q stem.RecordQuery, m mark, n int) *call {
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
	from, to, skip := fmt.Sprintf("(%s%016d%s", prefix, max(m.version, 0), beyond), "("+prefix+beyond, len(prefix)+16
	if !q.DueBefore.IsZero() {
		from = fmt.Sprintf("(%s%016d%016d%s", prefix, m.due, max(m.version, 0), beyond)
		to, skip = fmt.Sprintf("(%s%016d%s", prefix, us(q.DueBefore), beyond), skip+16
	}
	if m.last != "" {
		from = "(" + m.last
	}
	c := d.callOf(from, to, skip, n)
	c.script = "recordlist"
	return c
}
