package memory

import (
	"container/list"
	"context"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// records is the Records of a core.
type records struct{ *core }

var _ stem.Records = (*records)(nil)

// record is a record in the indexes of its kind.
type record struct {
	stem.Record
	place   *list.Element
	dueAt   int
	staleAt int
}

// shelf holds the records of one kind.
type shelf struct {
	byRef     map[stem.RecordRef]*record
	byVersion list.List     // oldest first
	due       heap[*record] // those with a due time
}

func byDueTime(a, b *record) bool {
	return a.Due.Before(b.Due) || a.Due.Equal(b.Due) && a.Version < b.Version
}

func (c *core) shelf(kind string) *shelf {
	s := c.shelves[kind]
	if s == nil {
		s = &shelf{byRef: map[stem.RecordRef]*record{}, due: heap[*record]{less: byDueTime, at: func(r *record) *int { return &r.dueAt }}}
		c.shelves[kind] = s
	}
	return s
}

// present is the record of a reference unless it has expired.
func (c *core) present(ref stem.RecordRef, now time.Time) *record {
	s := c.shelves[ref.Kind]
	if s == nil {
		return nil
	}
	if r := s.byRef[ref]; r != nil && !r.expired(now) {
		return r
	}
	return nil
}

func (r *record) expired(now time.Time) bool { return !r.Expires.IsZero() && !r.Expires.After(now) }

// Load implements stem.Records.
func (rs *records) Load(_ context.Context, refs ...stem.RecordRef) ([]*stem.Record, error) {
	now, err := rs.enter()
	if err != nil {
		return nil, wrap("load records", err)
	}
	defer rs.mu.Unlock()
	out := make([]*stem.Record, len(refs))
	for i, ref := range refs {
		if r := rs.present(ref, now); r != nil {
			found := r.Record
			out[i] = &found
		}
	}
	return out, nil
}

// Save implements stem.Records.
func (rs *records) Save(_ context.Context, writes ...stem.RecordWrite) ([]int64, error) {
	for _, w := range writes {
		if err := adapters.CheckRecord(w.Record); err != nil {
			return nil, wrap("save records", err)
		}
	}
	now, err := rs.change()
	if err != nil {
		return nil, wrap("save records", err)
	}
	defer rs.mu.Unlock()
	versions := make([]int64, len(writes))
	for _, part := range adapters.Parts(writes) {
		mine := make([]stem.RecordWrite, len(part))
		for i, at := range part {
			mine[i] = writes[at]
		}
		if err := rs.checkRecords(mine, now); err != nil {
			return versions, wrap("save records", err)
		}
		for i, v := range rs.applyRecords(mine, now) {
			versions[part[i]] = v
		}
	}
	return versions, nil
}

// checkRecords says whether all of writes, applied one after the other, meet the versions they demand.
func (c *core) checkRecords(writes []stem.RecordWrite, now time.Time) error {
	conflict, _ := adapters.CheckVersions(writes, func(ref stem.RecordRef) (int64, error) { // looking at memory can not fail
		if r := c.present(ref, now); r != nil {
			return r.Version, nil
		}
		return 0, nil
	})
	return conflict
}

// applyRecords writes what checkRecords allowed and returns the new versions, 0 for a delete.
func (c *core) applyRecords(writes []stem.RecordWrite, now time.Time) []int64 {
	if len(writes) == 0 {
		return nil
	}
	versions := make([]int64, len(writes))
	for i, w := range writes {
		s := c.shelf(w.Record.Kind)
		if old := s.byRef[w.Record.RecordRef]; old != nil {
			c.drop(s, old)
		}
		if w.Op == stem.DeleteRecord {
			continue
		}
		r := &record{Record: w.Record}
		r.Version, r.Updated = int64(c.next(0, now)), now
		if w.TTL > 0 {
			r.Expires = now.Add(w.TTL)
		}
		r.Tags, r.Body = slices.Clone(r.Tags), slices.Clone(r.Body)
		versions[i] = r.Version
		s.byRef[r.RecordRef] = r
		r.place = s.byVersion.PushBack(r)
		if !r.Due.IsZero() {
			s.due.push(r)
		}
		if !r.Expires.IsZero() {
			c.stale.push(r)
		}
	}
	return versions
}

func (c *core) drop(s *shelf, r *record) {
	delete(s.byRef, r.RecordRef)
	s.byVersion.Remove(r.place)
	if !r.Due.IsZero() {
		s.due.remove(r)
	}
	if !r.Expires.IsZero() {
		c.stale.remove(r)
	}
}
