package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	taskv1 "github.com/stemd/stem/plugin/proto/stem/task/v1"
	"google.golang.org/protobuf/proto"
)

const deadColumns = `seq, id, queue, name, priority, epoch, redeliveries, replays, created, lease, generated, header, body, signature,
	key_id, extra, unique_key, unique_for, reason, error, dead_at, acked`

// bury moves a claimed task to the dead letters; an older one of the same id goes.
func (b *broker) bury(tx *tx, s *stem.Settlement, claim []any, p place) (bool, error) {
	r, ok, err := claimed(tx, "SELECT "+columns+" FROM tasks"+isClaim, claim)
	if !ok || err != nil {
		return false, err
	}
	m := r.msg
	m.State = adapters.Settled(m.State, s.State)
	extra, err := stem.EncodeState(m.State)
	if err != nil {
		return false, err
	}
	var why []byte
	if s.Result != nil && s.Result.Status.Error != nil {
		if why, err = proto.Marshal(s.Result.Status.Error.Proto()); err != nil {
			return false, err
		}
	}
	reason := s.Reason
	if reason == "" {
		reason = stem.ReasonUnknown
	}
	queue := s.Receipt.Queue
	if _, err := tx.change("DELETE FROM tasks WHERE seq = ?", r.seq); err != nil {
		return false, err
	}
	tx.end(b.ns, m.State.Epoch)
	e := m.Envelope
	_, err = tx.change(`INSERT OR REPLACE INTO dead (ns, id, queue, name, priority, epoch, redeliveries, replays, created, lease, generated,
		header, body, signature, key_id, extra, unique_key, unique_for, reason, error, dead_at, acked)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		b.ns, m.ID, queue, m.Name, m.Priority, int64(m.State.Epoch), m.State.Redeliveries, m.State.Replays, us(m.State.Created),
		m.Lease.Microseconds(), flag(m.GeneratedID), e.Header, e.Body, e.Signature, nullable(e.KeyID), extra,
		nullable(m.Unique.Key), m.Unique.For.Microseconds(), reason, why, tx.us, flag(m.State.AckedEarly))
	if err == nil {
		err = b.gone(tx, m.ID, p)
	}
	return true, err
}

type letter struct {
	seq int64
	stem.DeadLetter
}

func (l *letter) scan(rows *sql.Rows) error {
	var created, lease, uniqueFor, deadAt int64
	var keyID, uniqueKey sql.NullString
	var extra, why []byte
	m := &l.Message
	err := rows.Scan(&l.seq, &m.ID, &m.Queue, &m.Name, &m.Priority, &m.State.Epoch, &m.State.Redeliveries, &m.State.Replays, &created,
		&lease, &m.GeneratedID, &m.Envelope.Header, &m.Envelope.Body, &m.Envelope.Signature, &keyID, &extra,
		&uniqueKey, &uniqueFor, &l.Reason, &why, &deadAt, &m.State.AckedEarly)
	if err != nil {
		return err
	}
	m.Envelope.KeyID, m.State.Created, m.Lease, l.DeadAt = keyID.String, at(created), span(lease), at(deadAt)
	m.Unique = stem.Reservation{Key: uniqueKey.String, For: span(uniqueFor)}
	if err := stem.DecodeState(extra, &m.State); err != nil {
		return err
	}
	if why == nil {
		return nil
	}
	var e taskv1.Error
	if err := proto.Unmarshal(why, &e); err != nil {
		return err
	}
	l.Error = stem.TaskErrorFromProto(&e)
	return nil
}

// selectDead is the condition and arguments of a query, newest first, with limit rows after its offset; limit < 0: all.
func (b *broker) selectDead(q stem.DeadLetterQuery, limit int) (string, []any, error) {
	where, args := []string{"ns = ?"}, []any{b.ns}
	if q.Queue != "" {
		where, args = append(where, "queue = ?"), append(args, q.Queue)
	}
	if !q.Since.IsZero() {
		where, args = append(where, "dead_at >= ?"), append(args, us(q.Since))
	}
	if len(q.IDs) > 0 {
		ids, err := json.Marshal(q.IDs)
		if err != nil {
			return "", nil, err
		}
		where, args = append(where, "id IN (SELECT value FROM json_each(?))"), append(args, string(ids))
	}
	return " FROM dead WHERE " + strings.Join(where, " AND ") + " ORDER BY dead_at DESC, seq DESC LIMIT ? OFFSET ?", append(args, limit, q.Offset), nil
}

// DeadLetters implements stem.Inspector.
func (b *broker) DeadLetters(ctx context.Context, q stem.DeadLetterQuery) (stem.DeadLetterPage, error) {
	var page stem.DeadLetterPage
	limit := adapters.PageLimit(q.Limit)
	from, args, err := b.selectDead(q, limit+1)
	if err != nil {
		return page, b.readErr("dead letters", err)
	}
	err = b.scan(ctx, "SELECT "+deadColumns+from, func(rows *sql.Rows) error {
		var l letter
		if err := l.scan(rows); err != nil {
			return err
		}
		page.Items = append(page.Items, l.DeadLetter)
		return nil
	}, args...)
	if len(page.Items) > limit {
		page.Items, page.More = page.Items[:limit], true
	}
	return page, b.readErr("dead letters", err)
}

// Replay implements stem.Inspector. The letters selected are the newest; they go back in the order in which they died.
func (b *broker) Replay(ctx context.Context, r stem.Replay) ([]stem.Replayed, error) {
	from, args, err := b.selectDead(r.DeadLetterQuery, adapters.PageLimit(r.Limit))
	if err != nil {
		return nil, b.readErr("replay", err)
	}
	var out []stem.Replayed
	err = b.write(ctx, "replay", func(tx *tx) error {
		out = nil
		rows, err := tx.rows("SELECT "+deadColumns+from, args...)
		if err != nil {
			return err
		}
		var letters []letter
		err = drain(rows, func(rows *sql.Rows) error {
			var l letter
			err := l.scan(rows)
			letters = append(letters, l)
			return err
		})
		if err != nil {
			return err
		}
		out = make([]stem.Replayed, len(letters))
		for i, l := range slices.Backward(letters) {
			if out[i], err = b.replay(tx, l, r); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func (b *broker) replay(tx *tx, l letter, r stem.Replay) (stem.Replayed, error) {
	out := stem.Replayed{DeadLetter: l.DeadLetter}
	m := l.Message
	var notBefore time.Time
	if r.Delay > 0 {
		notBefore = tx.now.Add(r.Delay)
	}
	m.State = adapters.Replayed(m.State, notBefore)
	m.State.Epoch = stem.NextEpoch(m.State.Epoch, tx.now)
	var live bool
	if err := tx.row("SELECT EXISTS (SELECT 1 FROM tasks WHERE ns = ? AND id = ?)", b.ns, m.ID).Scan(&live); err != nil {
		return out, err
	}
	holder, err := b.holder(tx, m.Unique.Key)
	if err != nil {
		return out, err
	}
	if live {
		out.Err = fmt.Errorf("sqlite: replay: %w", adapters.ErrLive)
	} else if holder != "" {
		out.Err = fmt.Errorf("sqlite: replay: %w", adapters.KeyTaken(holder))
	}
	if out.Err != nil || r.DryRun {
		return out, nil
	}
	if err := b.reserve(tx, m.ID, m.Unique, us(notBefore)); err != nil {
		return out, err
	}
	if _, err := b.insert(tx, &m); err != nil {
		return out, err
	}
	for _, query := range []string{
		"DELETE FROM dead WHERE ns = ? AND id = ?", "DELETE FROM results WHERE ns = ? AND id = ?", "DELETE FROM seen WHERE ns = ? AND id = ?",
	} {
		if _, err := tx.change(query, b.ns, m.ID); err != nil {
			return out, err
		}
	}
	return out, nil
}

// PurgeDeadLetters implements stem.Inspector.
func (b *broker) PurgeDeadLetters(ctx context.Context, q stem.DeadLetterQuery) (int, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	from, args, err := b.selectDead(q, limit)
	if err != nil {
		return 0, b.readErr("purge dead letters", err)
	}
	var n int64
	err = b.write(ctx, "purge dead letters", func(tx *tx) (err error) {
		n, err = tx.change("DELETE FROM dead WHERE seq IN (SELECT seq"+from+")", args...)
		return err
	})
	return int(n), err
}
