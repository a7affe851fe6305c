package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// queueIDs caches the numbers of queue names, both ways. Only committed numbers are cached; they never change.
type queueIDs struct {
	mu    sync.RWMutex
	ids   map[string]int64
	names map[int64]string
}

func newQueueIDs() *queueIDs { return &queueIDs{ids: map[string]int64{}, names: map[int64]string{}} }

func (q *queueIDs) id(name string) (int64, bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	id, ok := q.ids[name]
	return id, ok
}

func (q *queueIDs) name(id int64) (string, bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	name, ok := q.names[id]
	return name, ok
}

func (q *queueIDs) put(name string, id int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ids[name], q.names[id] = id, name
}

// queueID is the number of a queue, given out when it is new.
func (d *db) queueID(tx *tx, name string) (int64, error) {
	if id, ok := d.queues.id(name); ok {
		return id, nil
	}
	if _, err := tx.change("INSERT OR IGNORE INTO queues (ns, name) VALUES (?, ?)", d.ns, name); err != nil {
		return 0, err
	}
	var id int64
	if err := tx.row("SELECT id FROM queues WHERE ns = ? AND name = ?", d.ns, name).Scan(&id); err != nil {
		return 0, err
	}
	tx.commit = append(tx.commit, func() { d.queues.put(name, id) })
	return id, nil
}

// knownQueue is the number of a queue that something was published to; false: nothing ever was.
func (d *db) knownQueue(ctx context.Context, name string) (int64, bool, error) {
	if id, ok := d.queues.id(name); ok {
		return id, true, nil
	}
	stmt, err := d.stmts.get(ctx, "SELECT id FROM queues WHERE ns = ? AND name = ?")
	if err != nil {
		return 0, false, err
	}
	var id int64
	if err := stmt.QueryRowContext(ctx, d.ns, name).Scan(&id); errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	} else if err != nil {
		return 0, false, err
	}
	d.queues.put(name, id)
	return id, true, nil
}

// queueName is the name of a number read from a row.
func (d *db) queueName(ctx context.Context, id int64) (string, error) {
	if name, ok := d.queues.name(id); ok {
		return name, nil
	}
	stmt, err := d.stmts.get(ctx, "SELECT name FROM queues WHERE id = ?")
	if err != nil {
		return "", err
	}
	var name string
	if err := stmt.QueryRowContext(ctx, id).Scan(&name); err != nil {
		return "", err
	}
	d.queues.put(name, id)
	return name, nil
}
