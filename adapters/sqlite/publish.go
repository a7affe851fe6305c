package sqlite

import (
	"context"
	"database/sql"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// broker is the Broker of a db.
type broker struct{ *db }

var (
	_ stem.Broker     = (*broker)(nil)
	_ stem.Inspector  = (*broker)(nil)
	_ stem.Maintainer = (*broker)(nil)
	_ stem.Takeover   = (*broker)(nil)
	_ stem.Limiter    = (*broker)(nil)
)

// Publish implements stem.Broker.
func (b *broker) Publish(ctx context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	out := make([]stem.Published, len(msgs))
	err := b.write(ctx, "publish", func(tx *tx) error {
		for i := range msgs {
			out[i] = stem.Published{ID: msgs[i].ID}
			if err := adapters.CheckMessage(msgs[i]); err != nil {
				out[i].State, out[i].Err = stem.Rejected, err
				continue
			}
			var err error
			if out[i].State, out[i].ID, err = b.publish(tx, &msgs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

const insertTask = `INSERT OR IGNORE INTO tasks (ns, id, queue, state, priority, due, epoch, owner, until, redeliveries, acked, replays,
	attempt, created, updated, lease, generated, name, header, body, signature, key_id, extra, unique_key, unique_for)
	VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 0, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// pastLife is what is known of an id beside its live task: the epoch of its saved status, and until when it is remembered.
const pastLife = `SELECT (SELECT epoch FROM results WHERE ns = ?1 AND id = ?2), (SELECT until FROM seen WHERE ns = ?1 AND id = ?2)`

// publish accepts a valid message unless its id is live or remembered or its key is taken, and says whose id stands for it. What
// was saved of a past life of the id goes.
func (d *db) publish(tx *tx, m *stem.Message) (stem.PublishState, string, error) {
	var saved, seen sql.NullInt64
	if err := tx.row(pastLife, d.ns, m.ID).Scan(&saved, &seen); err != nil {
		return 0, "", err
	}
	if seen.Int64 > tx.us {
		return stem.Duplicate, m.ID, nil
	}
	if id, err := d.standIn(tx, m); id != "" || err != nil {
		return stem.Duplicate, id, err
	}
	floor, err := tx.epochFloor(d.ns)
	if err != nil {
		return 0, "", err
	}
	fresh := *m
	fresh.State = adapters.Accepted(m.State, max(floor, m.State.Epoch, stem.Epoch(saved.Int64)), tx.now)
	accepted, err := d.insert(tx, &fresh)
	if err != nil {
		return 0, "", err
	}
	if !accepted {
		return stem.Duplicate, m.ID, nil
	}
	if saved.Valid {
		if _, err := tx.change("DELETE FROM results WHERE ns = ? AND id = ?", d.ns, m.ID); err != nil {
			return 0, "", err
		}
	}
	return stem.Accepted, m.ID, d.reserve(tx, m.ID, m.Unique, us(m.State.NotBefore))
}

// insert puts a message behind what is in its queue; false: its id is live.
func (d *db) insert(tx *tx, m *stem.Message) (bool, error) {
	queue, err := d.queueID(tx, m.Queue)
	if err != nil {
		return false, err
	}
	extra, err := stem.EncodeState(m.State)
	if err != nil {
		return false, err
	}
	due, s, e := us(m.State.NotBefore), m.State, m.Envelope
	n, err := tx.change(insertTask, d.ns, m.ID, queue, waitingState(due, tx.us), m.Priority, due, int64(s.Epoch), s.Redeliveries, s.Replays,
		s.Attempt, us(s.Created), tx.us, m.Lease.Microseconds(), flag(m.GeneratedID), m.Name, e.Header, e.Body, e.Signature, nullable(e.KeyID), extra,
		nullable(m.Unique.Key), m.Unique.For.Microseconds())
	return n == 1, err
}

// waitingState is the state of a row that nobody has claimed.
func waitingState(due, now int64) int {
	if due > now {
		return delayed
	}
	return ready
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
