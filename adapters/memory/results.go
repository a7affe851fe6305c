package memory

import (
	"context"
	"strconv"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// results is the Results of a core.
type results struct{ *core }

var _ stem.Results = (*results)(nil)

// Save implements stem.Results.
func (r *results) Save(_ context.Context, writes ...stem.StatusWrite) error {
	if err := adapters.CheckStatuses(writes); err != nil {
		return wrap("save results", err)
	}
	now, err := r.change()
	if err != nil {
		return wrap("save results", err)
	}
	defer r.mu.Unlock()
	for _, w := range writes {
		e := r.entry(w.Status.ID)
		if r.save(e, w.Status, w.TTL, now) {
			r.updated(e, now)
		}
	}
	return nil
}

// Load implements stem.Results.
func (r *results) Load(_ context.Context, ids ...string) ([]*stem.Status, error) {
	now, err := r.enter()
	if err != nil {
		return nil, wrap("load results", err)
	}
	defer r.mu.Unlock()
	out := make([]*stem.Status, len(ids))
	for i, id := range ids {
		if e := r.entries[id]; e != nil {
			if s, ok := e.status(now); ok {
				out[i] = &s
			}
		}
	}
	return out, nil
}

// List implements stem.Results. The cursor is the stamp of the last item's update.
func (r *results) List(_ context.Context, q stem.StatusQuery) (stem.StatusPage, error) {
	var page stem.StatusPage
	before := ^uint64(0)
	if q.Cursor != "" {
		n, err := strconv.ParseUint(q.Cursor, 10, 64)
		if err != nil {
			return page, wrap("list results", adapters.BadCursor(q.Cursor))
		}
		before = n
	}
	now, err := r.enter()
	if err != nil {
		return page, wrap("list results", err)
	}
	defer r.mu.Unlock()
	limit, last := adapters.PageLimit(q.Limit), before
	for e := r.recent.newest; e != nil; e = e.old {
		if e.stamp >= before || !e.may(q) {
			continue
		}
		s, ok := e.status(now)
		if !ok || q.State != "" && s.State != q.State || q.Queue != "" && s.Queue != q.Queue || q.Name != "" && s.Name != q.Name {
			continue
		}
		if len(page.Items) == limit {
			page.Next = strconv.FormatUint(last, 10)
			break
		}
		page.Items, last = append(page.Items, s), e.stamp
	}
	return page, nil
}

// Expire implements stem.Results.
func (r *results) Expire(_ context.Context, ttl time.Duration, ids ...string) error {
	now, err := r.change()
	if err != nil {
		return wrap("expire", err)
	}
	defer r.mu.Unlock()
	until := now.Add(max(ttl, 0))
	for _, id := range ids {
		if e := r.entries[id]; e != nil && e.saved != nil {
			r.expiry.remove(e)
			e.expires = until
			r.expiry.push(e)
		}
		if g := r.groups[id]; g != nil {
			r.ebbing.remove(g)
			g.expires = until
			r.ebbing.push(g)
		}
	}
	return nil
}

// may says cheaply whether an entry can match: deriving a status decodes the task's header.
func (e *entry) may(q stem.StatusQuery) bool {
	if t := e.task; t != nil {
		return (q.Queue == "" || t.msg.Queue == q.Queue) && (q.Name == "" || t.msg.Name == q.Name) && !q.State.Terminal()
	}
	return q.State == "" || e.saved.State == q.State
}
