package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// results is the Results of a db.
type results struct{ *db }

var _ stem.Results = (*results)(nil)

// Save implements stem.Results.
func (r *results) Save(ctx context.Context, writes ...stem.StatusWrite) error {
	if err := adapters.CheckStatuses(writes); err != nil {
		return fmt.Errorf("sqlite: save results: %w", err)
	}
	return r.write(ctx, "save results", func(tx *tx) error {
		for i := range writes {
			s := &writes[i].Status
			var epoch stem.Epoch
			err := tx.row("SELECT epoch FROM tasks WHERE ns = ? AND id = ?", r.ns, s.ID).Scan(&epoch)
			if err == nil && s.Epoch < epoch {
				continue // of an earlier claim
			} else if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err := r.save(tx, s, writes[i].TTL); err != nil {
				return err
			}
		}
		return nil
	})
}

const saveResult = `INSERT INTO results (ns, id, epoch, state, queue, name, updated, expires, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (ns, id) DO UPDATE SET epoch = excluded.epoch, state = excluded.state, queue = excluded.queue, name = excluded.name,
	updated = excluded.updated, expires = excluded.expires, status = excluded.status
	WHERE excluded.epoch > epoch OR (excluded.epoch = epoch AND state NOT IN ('succeeded', 'failed', 'cancelled'))`

// save keeps a status if it is fresh: adapters.Fresh in SQL.
func (d *db) save(tx *tx, s *stem.Status, ttl time.Duration) error {
	blob, err := stem.EncodeStatus(s)
	if err != nil {
		return err
	}
	_, err = tx.change(saveResult, d.ns, s.ID, int64(s.Epoch), string(s.State), s.Queue, s.Name, tx.us, tx.us+adapters.ResultLife(ttl).Microseconds(), blob)
	return err
}

const (
	liveSelect = "SELECT " + columns + ", (SELECT status FROM results r WHERE r.ns = t.ns AND r.id = t.id AND r.expires > ?) FROM tasks t"
	keptSelect = "SELECT epoch, updated, status FROM results"
)

// Load implements stem.Results.
func (r *results) Load(ctx context.Context, ids ...string) ([]*stem.Status, error) {
	out := make([]*stem.Status, len(ids))
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, r.readErr("load results", err)
	}
	found := map[string]*stem.Status{}
	// The live first: a task that ends in between is then seen as live or as kept, never as neither.
	live, err := r.live(ctx, " WHERE t.ns = ? AND t.id IN (SELECT value FROM json_each(?))", r.ns, string(list))
	if err != nil {
		return nil, r.readErr("load results", err)
	}
	kept, err := r.kept(ctx, " WHERE ns = ? AND expires > ? AND id IN (SELECT value FROM json_each(?))", r.ns, r.now(), string(list))
	if err != nil {
		return nil, r.readErr("load results", err)
	}
	for _, s := range kept {
		found[s.ID] = &s
	}
	for _, s := range live {
		if k := found[s.ID]; k == nil || k.Epoch < s.Epoch || k.Epoch == s.Epoch && !k.State.Terminal() {
			found[s.ID] = &s
		}
	}
	for i, id := range ids {
		if s := found[id]; s != nil {
			copied := *s
			out[i] = &copied
		}
	}
	return out, nil
}

// live derives the statuses of live tasks.
func (r *results) live(ctx context.Context, where string, args ...any) ([]stem.Status, error) {
	var out []stem.Status
	err := r.scan(ctx, liveSelect+where, func(rows *sql.Rows) error {
		var t row
		var blob []byte
		if err := t.scan(withExtra{rows, &blob}); err != nil {
			return err
		}
		name, err := r.queueName(ctx, t.queue)
		if err != nil {
			return err
		}
		t.msg.Queue = name
		var saved *stem.Status
		if blob != nil {
			if saved, err = stem.DecodeStatus(blob); err != nil {
				return err
			}
		}
		out = append(out, adapters.LiveStatus(t.msg, t.owner.String, at(t.updated), saved))
		return nil
	}, append([]any{r.now()}, args...)...)
	return out, err
}

// withExtra scans one column more than a row knows.
type withExtra struct {
	rows *sql.Rows
	last any
}

func (w withExtra) Scan(dest ...any) error { return w.rows.Scan(append(dest, w.last)...) }

func (r *results) kept(ctx context.Context, where string, args ...any) ([]stem.Status, error) {
	var out []stem.Status
	err := r.scan(ctx, keptSelect+where, func(rows *sql.Rows) error {
		var epoch stem.Epoch
		var updated int64
		var blob []byte
		if err := rows.Scan(&epoch, &updated, &blob); err != nil {
			return err
		}
		s, err := stem.DecodeStatus(blob)
		if err != nil {
			return err
		}
		s.Epoch, s.UpdatedAt = epoch, at(updated)
		out = append(out, *s)
		return nil
	}, args...)
	return out, err
}

// List implements stem.Results. The cursor is the update time and id of the last item.
func (r *results) List(ctx context.Context, q stem.StatusQuery) (stem.StatusPage, error) {
	var page stem.StatusPage
	limit := adapters.PageLimit(q.Limit)
	updated, id := int64(1)<<62, ""
	if q.Cursor != "" {
		at, rest, _ := strings.Cut(q.Cursor, ".")
		if _, err := fmt.Sscanf(at, "%d", &updated); err != nil || rest == "" {
			return page, r.readErr("list results", adapters.BadCursor(q.Cursor))
		}
		id = rest
	}
	ids, more, err := r.page(ctx, q, limit, updated, id)
	if err != nil {
		return page, r.readErr("list results", err)
	}
	loaded, err := r.Load(ctx, ids...)
	if err != nil {
		return page, err
	}
	for _, s := range loaded {
		if s != nil {
			page.Items = append(page.Items, *s)
		}
	}
	page.Next = more
	return page, nil
}

// page finds the ids of a page, newest update first, and the cursor of the next one.
func (r *results) page(ctx context.Context, q stem.StatusQuery, limit int, updated int64, id string) (ids []string, next string, err error) {
	kept, args := "r.ns = ? AND (r.updated, r.id) < (?, ?) AND r.expires > ? AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.ns = r.ns AND t.id = r.id)",
		[]any{r.ns, updated, id, r.now()}
	live, liveArgs := "t.ns = ? AND (t.updated, t.id) < (?, ?)", []any{r.ns, updated, id}
	for _, f := range []struct{ kept, live, value string }{
		{"r.state = ?", stateCondition(q.State), string(q.State)},
		{"r.queue = ?", "t.queue = (SELECT q.id FROM queues q WHERE q.ns = t.ns AND q.name = ?)", q.Queue},
		{"r.name = ?", "t.name = ?", q.Name},
	} {
		if f.value == "" {
			continue
		}
		kept, args = kept+" AND "+f.kept, append(args, f.value)
		live += " AND " + f.live
		if strings.Contains(f.live, "?") {
			liveArgs = append(liveArgs, f.value)
		}
	}
	query := `SELECT * FROM (SELECT updated, id FROM results r WHERE ` + kept + ` ORDER BY updated DESC, id DESC LIMIT ?)
		UNION ALL SELECT * FROM (SELECT updated, id FROM tasks t WHERE ` + live + ` ORDER BY updated DESC, id DESC LIMIT ?)
		ORDER BY 1 DESC, 2 DESC LIMIT ?`
	args = append(append(append(args, limit+1), liveArgs...), limit+1, limit+1)
	var last string
	err = r.scan(ctx, query, func(rows *sql.Rows) error {
		var at int64
		var id string
		if err := rows.Scan(&at, &id); err != nil {
			return err
		}
		if len(ids) == limit {
			next = last
			return nil
		}
		ids, last = append(ids, id), fmt.Sprintf("%d.%s", at, id)
		return nil
	}, args...)
	return ids, next, err
}

// Expire implements stem.Results.
func (r *results) Expire(ctx context.Context, ttl time.Duration, ids ...string) error {
	list, err := json.Marshal(ids)
	if err != nil {
		return r.readErr("expire", err)
	}
	return r.write(ctx, "expire", func(tx *tx) error {
		for _, table := range []string{"results", "groups"} {
			_, err := tx.change("UPDATE "+table+" SET expires = ? WHERE ns = ? AND id IN (SELECT value FROM json_each(?))",
				tx.us+max(ttl, 0).Microseconds(), r.ns, string(list))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// stateCondition is what a live task's row must be for a state; attempts are in the header of its extra column, so queued and
// retried are told apart by whether there is one.
func stateCondition(s stem.TaskState) string {
	switch s {
	case stem.Running:
		return "t.owner IS NOT NULL"
	case stem.Queued:
		return "t.owner IS NULL AND t.attempt = 0"
	case stem.Retried:
		return "t.owner IS NULL AND t.attempt > 0"
	}
	return "0"
}
