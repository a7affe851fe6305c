package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// Each count walks one index and no row of tasks.
const (
	countReady  = "SELECT queue, count(*) FROM tasks WHERE state = 0 GROUP BY queue"
	countDue    = "SELECT queue, count(*), count(*) FILTER (WHERE due <= ?) FROM tasks WHERE state = 1 GROUP BY queue"
	countLeased = "SELECT queue, count(*), count(*) FILTER (WHERE until <= ?) FROM tasks WHERE state = 2 GROUP BY queue"
	countDead   = "SELECT queue, count(*) FROM dead WHERE ns = ? GROUP BY queue"
	oldestReady = `SELECT min(created) FROM tasks WHERE seq IN (
		SELECT min(seq) FROM tasks WHERE queue = ?1 AND state = 0 GROUP BY priority
		UNION ALL SELECT min(seq) FROM tasks WHERE queue = ?1 AND state = 1 AND due <= ?2
		UNION ALL SELECT min(seq) FROM tasks WHERE queue = ?1 AND state = 2 AND until <= ?2)`
)

// Queues implements stem.Inspector.
func (b *broker) Queues(ctx context.Context) ([]stem.QueueCounts, error) {
	names := map[int64]string{}
	err := b.scan(ctx, "SELECT id, name FROM queues WHERE ns = ?", func(rows *sql.Rows) error {
		var id int64
		var name string
		err := rows.Scan(&id, &name)
		names[id] = name
		return err
	}, b.ns)
	if err != nil {
		return nil, b.readErr("queues", err)
	}
	counts := map[string]*stem.QueueCounts{}
	of := func(name string) *stem.QueueCounts {
		c := counts[name]
		if c == nil {
			c = &stem.QueueCounts{Queue: name}
			counts[name] = c
		}
		return c
	}
	now := b.now()
	for _, q := range []struct {
		query string
		args  []any
		add   func(c *stem.QueueCounts, all, over int)
	}{
		{countReady, nil, func(c *stem.QueueCounts, all, _ int) { c.Ready += all }},
		{countDue, []any{now}, func(c *stem.QueueCounts, all, due int) { c.Delayed, c.Ready = c.Delayed+all-due, c.Ready+due }},
		{countLeased, []any{now}, func(c *stem.QueueCounts, all, over int) { c.Running, c.Ready = c.Running+all-over, c.Ready+over }},
	} {
		err := b.scan(ctx, q.query, func(rows *sql.Rows) error {
			var id int64
			var all, over int
			dest := []any{&id, &all, &over}
			if err := rows.Scan(dest[:2+len(q.args)]...); err != nil {
				return err
			}
			if name, ours := names[id]; ours {
				q.add(of(name), all, over)
			}
			return nil
		}, q.args...)
		if err != nil {
			return nil, b.readErr("queues", err)
		}
	}
	err = b.scan(ctx, countDead, func(rows *sql.Rows) error {
		var name string
		var n int
		err := rows.Scan(&name, &n)
		of(name).Dead = n
		return err
	}, b.ns)
	if err != nil {
		return nil, b.readErr("queues", err)
	}
	for id, name := range names {
		if c := counts[name]; c != nil && c.Ready > 0 {
			if err := b.oldest(ctx, id, now, c); err != nil {
				return nil, b.readErr("queues", err)
			}
		}
	}
	out := make([]stem.QueueCounts, 0, len(counts))
	for _, c := range counts {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(x, y stem.QueueCounts) int { return cmp.Compare(x.Queue, y.Queue) })
	return out, nil
}

func (b *broker) oldest(ctx context.Context, queue, now int64, c *stem.QueueCounts) error {
	return b.scan(ctx, oldestReady, func(rows *sql.Rows) error {
		var created sql.NullInt64
		err := rows.Scan(&created)
		if created.Valid {
			c.Oldest = time.Duration(now-created.Int64) * time.Microsecond
		}
		return err
	}, queue, now)
}

// browseQuery gives every row its place: the claimed first, then the ready by priority and arrival, then the delayed by due time.
const browseQuery = `SELECT place, major, seq, id FROM (
	SELECT CASE WHEN state = 2 AND until > ?2 THEN 0 WHEN state = 1 AND due > ?2 THEN 2 ELSE 1 END AS place,
		CASE WHEN state = 1 AND due > ?2 THEN due ELSE -priority END AS major, seq, id
	FROM tasks WHERE queue = ?1) WHERE (place, major, seq) > (?3, ?4, ?5) ORDER BY place, major, seq LIMIT ?6`

// Browse implements stem.Inspector: those that run first, then the waiting ones in the order they would be claimed.
func (b *broker) Browse(ctx context.Context, q stem.BrowseQuery) (stem.BrowsePage, error) {
	var page stem.BrowsePage
	place, major, seq := int64(-1), int64(0), int64(0)
	if q.Cursor != "" {
		if _, err := fmt.Sscanf(q.Cursor, "%d.%d.%d", &place, &major, &seq); err != nil {
			return page, b.readErr("browse", adapters.BadCursor(q.Cursor))
		}
	}
	queue, known, err := b.knownQueue(ctx, q.Queue)
	if err != nil || !known {
		return page, b.readErr("browse", err)
	}
	limit := adapters.PageLimit(q.Limit)
	var ids []string
	err = b.scan(ctx, browseQuery, func(rows *sql.Rows) error {
		var p, m, s int64
		var id string
		if err := rows.Scan(&p, &m, &s, &id); err != nil {
			return err
		}
		if len(ids) == limit {
			page.Next = fmt.Sprintf("%d.%d.%d", place, major, seq)
			return nil
		}
		ids, place, major, seq = append(ids, id), p, m, s
		return nil
	}, queue, b.now(), place, major, seq, limit+1)
	if err != nil {
		return page, b.readErr("browse", err)
	}
	loaded, err := (&results{b.db}).Load(ctx, ids...)
	for _, s := range loaded {
		if s != nil {
			page.Items = append(page.Items, *s)
		}
	}
	return page, err
}

// unclaimed is tasks of a queue that nobody holds; each state has an index of its own.
const unclaimed = "SELECT " + columns + ` FROM tasks WHERE seq IN (
	SELECT * FROM (SELECT seq FROM tasks WHERE queue = ?1 AND state = 0 LIMIT ?3)
	UNION ALL SELECT * FROM (SELECT seq FROM tasks WHERE queue = ?1 AND state = 1 LIMIT ?3)
	UNION ALL SELECT * FROM (SELECT seq FROM tasks WHERE queue = ?1 AND state = 2 AND until <= ?2 LIMIT ?3)) LIMIT ?3`

// purgeSlice is how many tasks one transaction of Purge deletes.
const purgeSlice = 500

// Purge implements stem.Inspector.
func (b *broker) Purge(ctx context.Context, name string) (int, error) {
	queue, known, err := b.knownQueue(ctx, name)
	if err != nil || !known {
		return 0, b.readErr("purge", err)
	}
	total := 0
	for {
		n := 0
		err := b.write(ctx, "purge", func(tx *tx) (err error) {
			n, err = b.purge(tx, queue, name)
			return err
		})
		total += n
		if err != nil || n < purgeSlice {
			return total, err
		}
	}
}

func (b *broker) purge(tx *tx, queue int64, name string) (int, error) {
	gone, err := tx.tasks(unclaimed, queue, tx.us, purgeSlice)
	if err != nil {
		return 0, err
	}
	for _, r := range gone {
		r.msg.Queue = name
		if err := b.cancel(tx, &r); err != nil {
			return 0, err
		}
	}
	return len(gone), nil
}

// cancel ends a task that nobody has claimed.
func (b *broker) cancel(tx *tx, r *row) error {
	epoch := stem.NextEpoch(r.msg.State.Epoch, tx.now)
	tx.end(b.ns, epoch)
	status := adapters.CancelledStatus(r.msg, epoch, tx.now, nil)
	if adapters.KeepsStatus(r.msg.Queue) {
		if err := b.save(tx, &status, 0); err != nil {
			return err
		}
	}
	if _, err := tx.change("DELETE FROM tasks WHERE seq = ?", r.seq); err != nil {
		return err
	}
	if err := b.gone(tx, r.msg.ID, r.place()); err != nil {
		return err
	}
	if tally, ok := adapters.EndTally(&status); ok {
		return b.count(tx, tally)
	}
	return nil
}
