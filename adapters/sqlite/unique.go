package sqlite

import (
	"database/sql"
	"errors"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// holder is the task that holds a unique key now; empty: nobody does, or there is no key.
func (d *db) holder(tx *tx, key string) (id string, err error) {
	if key == "" {
		return "", nil
	}
	err = tx.row("SELECT id FROM uniques WHERE ns = ? AND key = ? AND until > ?", d.ns, key, tx.us).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// standIn is the id of the task that stands for a message because of its unique key; empty: the key is free.
func (d *db) standIn(tx *tx, m *stem.Message) (string, error) {
	holder, err := d.holder(tx, m.Unique.Key)
	if err != nil || holder == "" || holder == m.ID {
		return "", err
	}
	var live bool
	if err := tx.row("SELECT EXISTS (SELECT 1 FROM tasks WHERE ns = ? AND id = ?)", d.ns, m.ID).Scan(&live); live || err != nil {
		return m.ID, err
	}
	return holder, nil
}

const reserveKey = `INSERT INTO uniques (ns, key, id, until) VALUES (?1, ?2, ?3, ?4)
	ON CONFLICT (ns, key) DO UPDATE SET until = CASE WHEN id = excluded.id THEN max(until, excluded.until) ELSE excluded.until END, id = excluded.id
	WHERE id = excluded.id OR until <= ?5`

// reserve takes or renews the key of a task that is due or leased until busy, unless another one holds it.
func (d *db) reserve(tx *tx, id string, u stem.Reservation, busy int64) error {
	if u.Key == "" {
		return nil
	}
	_, err := tx.change(reserveKey, d.ns, u.Key, id, max(busy, tx.us)+adapters.ReservedFor(u).Microseconds(), tx.us)
	return err
}

// renew is reserve for a task in its row.
func (d *db) renew(tx *tx, seq int64) error {
	var id string
	var u stem.Reservation
	var key sql.NullString
	var length, due, until int64
	err := tx.row("SELECT id, unique_key, unique_for, due, until FROM tasks WHERE seq = ?", seq).Scan(&id, &key, &length, &due, &until)
	if err != nil {
		return err
	}
	u.Key, u.For = key.String, span(length)
	return d.reserve(tx, id, u, max(due, until))
}

// unreserve gives up the key of a task that ended.
func (d *db) unreserve(tx *tx, id string) error {
	_, err := tx.change("DELETE FROM uniques INDEXED BY uniques_id WHERE ns = ? AND id = ?", d.ns, id)
	return err
}
