package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// List implements stem.Records. The cursor is due time, in µs, and version of the last item.
func (rs *records) List(_ context.Context, q stem.RecordQuery) (stem.RecordPage, error) {
	var page stem.RecordPage
	var due, version int64
	if q.Cursor != "" {
		if _, err := fmt.Sscanf(q.Cursor, "%d.%d", &due, &version); err != nil {
			return page, wrap("list records", adapters.BadCursor(q.Cursor))
		}
	}
	now, err := rs.enter()
	if err != nil {
		return page, wrap("list records", err)
	}
	defer rs.mu.Unlock()
	s := rs.shelves[q.Kind]
	if s == nil {
		return page, nil
	}
	limit := adapters.RecordLimit(q.Limit)
	take := func(r *record) (more bool) {
		if r.expired(now) || q.Part != nil && r.Part != *q.Part || q.Tag != "" && !slices.Contains(r.Tags, q.Tag) {
			return true
		}
		if len(page.Items) == limit {
			last := page.Items[limit-1]
			page.Next = fmt.Sprintf("%d.%d", last.Due.UnixMicro(), last.Version)
			return false
		}
		page.Items = append(page.Items, r.Record)
		return true
	}
	if q.DueBefore.IsZero() {
		s.after(max(q.AfterVersion, version), take)
	} else {
		s.dueBy(q.DueBefore, q.AfterVersion, func(r *record) bool {
			us := r.Due.UnixMicro()
			return q.Cursor != "" && (us < due || us == due && r.Version <= version) || take(r)
		})
	}
	return page, nil
}

// after calls f for the records with a higher version, oldest first, until f says false.
func (s *shelf) after(version int64, f func(*record) bool) {
	first := s.byVersion.Back()
	if first == nil || first.Value.(*record).Version <= version {
		return
	}
	if version == 0 {
		first = s.byVersion.Front()
	}
	for at := first.Prev(); at != nil && at.Value.(*record).Version > version; at = at.Prev() {
		first = at
	}
	for at := first; at != nil; at = at.Next() {
		if !f(at.Value.(*record)) {
			return
		}
	}
}

// dueBy calls f for the records due at t or before with a higher version, earliest first, until f says false.
func (s *shelf) dueBy(t time.Time, version int64, f func(*record) bool) {
	var found []*record
	s.due.prefix(func(r *record) bool { return !r.Due.After(t) }, func(r *record) {
		if r.Version > version {
			found = append(found, r)
		}
	})
	slices.SortFunc(found, func(a, b *record) int {
		if c := a.Due.Truncate(time.Microsecond).Compare(b.Due.Truncate(time.Microsecond)); c != 0 {
			return c
		}
		return int(a.Version - b.Version)
	})
	for _, r := range found {
		if !f(r) {
			return
		}
	}
}
