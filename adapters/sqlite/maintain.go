package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/stemd/stem"
)

const (
	// maintainSlice is how many rows of a table one slice deletes.
	maintainSlice = 500
	// hintTTL is how long a hint may reach a slow process.
	hintTTL = time.Minute
)

// Maintain implements stem.Maintainer.
func (b *broker) Maintain(ctx context.Context) (stem.Maintained, error) {
	var m stem.Maintained
	err := b.write(ctx, "maintain", func(tx *tx) error {
		m = stem.Maintained{}
		deadUntil := int64(0) // for ever
		if b.opts.DeadLetters >= 0 {
			deadUntil = tx.us - b.opts.DeadLetters.Microseconds()
		}
		var hints, lapsed int // nothing of theirs is lost: a hint is lossy, a lapsed key's task goes on
		for _, t := range []struct {
			query string
			until int64
			count *int
		}{
			{"DELETE FROM results WHERE seq IN (SELECT seq FROM results WHERE expires <= ? AND ns = ? LIMIT ?)", tx.us, &m.Results},
			{"DELETE FROM dead WHERE seq IN (SELECT seq FROM dead WHERE dead_at <= ? AND ns = ? LIMIT ?)", deadUntil, &m.DeadLetters},
			{"DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE expires > 0 AND expires <= ? AND ns = ? LIMIT ?)", tx.us, &m.Records},
			{"DELETE FROM seen WHERE (ns, id) IN (SELECT ns, id FROM seen WHERE until <= ? AND ns = ? LIMIT ?)", tx.us, &m.SeenIDs},
			{"DELETE FROM uniques WHERE (ns, key) IN (SELECT ns, key FROM uniques WHERE until <= ? AND ns = ? LIMIT ?)", tx.us, &lapsed},
			{"DELETE FROM buckets WHERE (ns, key) IN (SELECT ns, key FROM buckets WHERE forget <= ? AND ns = ? LIMIT ?)", tx.us, &m.Limits},
			{"DELETE FROM hints WHERE seq IN (SELECT seq FROM hints WHERE at <= ? AND ns = ? LIMIT ?)", tx.us - hintTTL.Microseconds(), &hints},
		} {
			n, err := tx.change(t.query, t.until, b.ns, maintainSlice)
			if err != nil {
				return err
			}
			*t.count = int(n)
			m.More = m.More || n == maintainSlice
		}
		if err := b.dissolveGroups(tx, &m); err != nil {
			return err
		}
		return b.forgetEvents(tx, &m)
	})
	return m, err
}

// dissolveGroups deletes expired groups, their members first, so that a large group takes several slices.
func (b *broker) dissolveGroups(tx *tx, m *stem.Maintained) error {
	n, err := tx.change(`DELETE FROM members WHERE (grp, task) IN (SELECT grp, task FROM members
		WHERE grp IN (SELECT seq FROM groups WHERE expires <= ? AND ns = ? LIMIT ?) LIMIT ?)`, tx.us, b.ns, maintainSlice, maintainSlice)
	if err != nil {
		return err
	}
	if n == maintainSlice {
		m.More = true
		return nil
	}
	n, err = tx.change("DELETE FROM groups WHERE seq IN (SELECT seq FROM groups WHERE expires <= ? AND ns = ? LIMIT ?)", tx.us, b.ns, maintainSlice)
	m.Groups = int(n)
	m.More = m.More || n == maintainSlice
	return err
}

// forgetEvents deletes the broadcasts that their subscribers have not read for too long.
func (b *broker) forgetEvents(tx *tx, m *stem.Maintained) error {
	rows, err := tx.rows("SELECT id, name FROM queues WHERE ns = ? AND name >= ? AND name < ?", b.ns, stem.BroadcastPrefix, afterPrefix(stem.BroadcastPrefix))
	if err != nil {
		return err
	}
	queues := map[int64]string{}
	err = drain(rows, func(rows *sql.Rows) error {
		var id int64
		var name string
		err := rows.Scan(&id, &name)
		queues[id] = name
		return err
	})
	if err != nil {
		return err
	}
	before := tx.us - b.opts.Events.Microseconds()
	for id, name := range queues {
		first, err := tx.tasks("SELECT "+columns+" FROM tasks WHERE queue = ? AND state = 0 ORDER BY priority DESC, seq LIMIT ?", id, maintainSlice)
		if err != nil {
			return err
		}
		n := 0
		for i := range first {
			if us(first[i].msg.State.Created) > before {
				continue
			}
			first[i].msg.Queue = name
			if err := b.cancel(tx, &first[i]); err != nil {
				return err
			}
			n++
		}
		m.Events += n
		m.More = m.More || n == maintainSlice
	}
	return nil
}

// afterPrefix is the first string after all that begin with a prefix.
func afterPrefix(prefix string) string {
	last := len(prefix) - 1
	return prefix[:last] + string(prefix[last]+1)
}
