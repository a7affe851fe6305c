package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// promoteMax is how many due tasks and how many expired leases one claim moves among the ready ones, per queue.
const promoteMax = 512

// wanted is a queue of a claim that exists.
type wanted struct {
	id       int64
	name     string
	limit    int
	due, old bool // holds delayed tasks that are due, leases that are over
}

// Claim implements stem.Broker. It looks on a read connection first and writes only when there is something to take. Only the
// waiting takes real time: what is due is the store's clock.
func (b *broker) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	if c.Owner == "" {
		return nil, b.readErr("claim", adapters.ErrNoOwner)
	}
	if c.Max <= 0 {
		return nil, nil
	}
	begun := time.Now()
	if queues := b.busy.recent(c, b.now()); queues != nil {
		out, err := b.take(ctx, c, queues)
		if len(out) < c.Max {
			b.busy.took(c, nil, 0, 0, false)
		}
		if len(out) > 0 || err != nil {
			return out, err
		}
	}
	for {
		bell, now, forgot := b.waker.wait(ofTasks), b.now(), b.busy.look()
		queues, next, found, err := b.probe(ctx, c)
		if err != nil {
			return nil, b.readErr("claim", err)
		}
		if found {
			out, err := b.take(ctx, c, queues)
			b.busy.took(c, queues, now, forgot, len(out) == c.Max)
			if len(out) > 0 || err != nil {
				return out, err
			}
		}
		left := c.Wait - time.Since(begun)
		if left <= 0 {
			return nil, nil
		}
		// Something found and not taken was somebody else's by then, or is being promoted: look again at once.
		if !found {
			if err := rest(ctx, bell, min(left, next, pollEvery)); err != nil {
				return nil, err
			}
		}
	}
}

// rest waits for a ring, for d, or for ctx.
func rest(ctx context.Context, bell <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-bell:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

const probeQuery = `SELECT EXISTS (SELECT 1 FROM tasks WHERE queue = ?1 AND state = 0),
	(SELECT min(due) FROM tasks WHERE queue = ?1 AND state = 1), (SELECT min(until) FROM tasks WHERE queue = ?1 AND state = 2)`

// probe says whether there is something to claim, and when there may be without anybody writing.
func (b *broker) probe(ctx context.Context, c stem.Claim) (queues []wanted, next time.Duration, found bool, err error) {
	next = time.Hour
	stmt, err := b.stmts.get(ctx, probeQuery)
	if err != nil {
		return nil, 0, false, err
	}
	now := b.now()
	for _, q := range c.Queues {
		id, known, err := b.knownQueue(ctx, q.Queue)
		if err != nil {
			return nil, 0, false, err
		}
		if !known {
			continue
		}
		var ready bool
		var due, until sql.NullInt64
		if err := stmt.QueryRowContext(ctx, id).Scan(&ready, &due, &until); err != nil {
			return nil, 0, false, err
		}
		w := wanted{id: id, name: q.Queue, limit: q.Limit, due: due.Valid && due.Int64 <= now, old: until.Valid && until.Int64 <= now}
		for _, t := range []sql.NullInt64{due, until} {
			if t.Valid {
				next = min(next, time.Duration(t.Int64-now)*time.Microsecond)
			}
		}
		if ready || w.due || w.old {
			queues, found = append(queues, w), true
		}
	}
	return queues, next, found, nil
}

const (
	promoteDue = `UPDATE tasks SET state = 0 WHERE seq IN
		(SELECT seq FROM tasks WHERE queue = ? AND state = 1 AND due <= ? ORDER BY due LIMIT ?)`
	// An expired lease leaves its owner and epoch: until somebody claims the task, its holder may still extend or settle.
	promoteExpired = `UPDATE tasks SET state = 0 WHERE seq IN
		(SELECT seq FROM tasks WHERE queue = ? AND state = 2 AND until <= ? ORDER BY until LIMIT ?)`
	claimReady = `UPDATE tasks SET state = 2, redeliveries = redeliveries + (owner IS NOT NULL), owner = ?1,
		until = ?2 + CASE WHEN lease > 0 THEN lease ELSE ?3 END, epoch = max(epoch + 1, ?2), updated = ?2
		WHERE seq IN (SELECT seq FROM tasks WHERE queue = ?4 AND state = 0 ORDER BY priority DESC, seq LIMIT ?5)
		RETURNING ` + columns
)

// take claims what is ready, in one transaction.
func (b *broker) take(ctx context.Context, c stem.Claim, queues []wanted) ([]stem.Delivery, error) {
	lease := adapters.LeaseLength(c.Lease)
	var out []stem.Delivery
	err := b.writeFor(ctx, "claim", ofResults, func(tx *tx) error {
		out = out[:0]
		for _, q := range queues {
			if err := q.promote(tx); err != nil {
				return err
			}
			n := c.Max - len(out)
			if q.limit > 0 {
				n = min(n, q.limit)
			}
			if n <= 0 {
				continue
			}
			rows, err := tx.rows(claimReady, c.Owner, tx.us, lease.Microseconds(), q.id, n)
			if err != nil {
				return err
			}
			start := len(out)
			var seqs []int64
			err = drain(rows, func(rows *sql.Rows) error {
				var r row
				if err := r.scan(rows); err != nil {
					return err
				}
				r.msg.Queue = q.name
				seqs = append(seqs, r.seq)
				out = append(out, stem.Delivery{
					Message: r.msg, LeasedUntil: at(r.until),
					Receipt: stem.Receipt{
						ID: r.msg.ID, Queue: q.name, Position: r.place().String(), Owner: c.Owner, Epoch: r.msg.State.Epoch,
					},
				})
				return nil
			})
			if err != nil {
				return err
			}
			tx.wrote = tx.wrote || len(seqs) > 0
			for _, d := range out[start:] {
				if err := b.reserve(tx, d.ID, d.Unique, us(d.LeasedUntil)); err != nil {
					return err
				}
			}
			order(out[start:], seqs)
		}
		return nil
	})
	return out, err
}

// promote moves what the probe saw among the ready ones. What has come up since is for the next claim.
func (q wanted) promote(tx *tx) error {
	for _, step := range []struct {
		needed bool
		query  string
	}{{q.due, promoteDue}, {q.old, promoteExpired}} {
		if !step.needed {
			continue
		}
		if _, err := tx.change(step.query, q.id, tx.us, promoteMax); err != nil {
			return err
		}
	}
	return nil
}

// order sorts deliveries by priority and place: UPDATE … RETURNING gives them in the order of their rows.
func order(ds []stem.Delivery, seqs []int64) {
	type placed struct {
		d   stem.Delivery
		seq int64
	}
	sorted := true
	for i := 1; i < len(ds); i++ {
		if ds[i-1].Priority < ds[i].Priority || ds[i-1].Priority == ds[i].Priority && seqs[i-1] > seqs[i] {
			sorted = false
			break
		}
	}
	if sorted {
		return
	}
	all := make([]placed, len(ds))
	for i := range ds {
		all[i] = placed{ds[i], seqs[i]}
	}
	slices.SortFunc(all, func(x, y placed) int {
		if x.d.Priority != y.d.Priority {
			return y.d.Priority - x.d.Priority
		}
		return int(x.seq - y.seq)
	})
	for i := range all {
		ds[i] = all[i].d
	}
}

// Extend implements stem.Broker.
func (b *broker) Extend(ctx context.Context, leases ...stem.Lease) ([]stem.Receipt, error) {
	var lost []stem.Receipt
	err := b.write(ctx, "extend", func(tx *tx) error {
		lost = lost[:0]
		for _, l := range leases {
			p, ok := parsePlace(l.Receipt.Position)
			var n int64
			if ok {
				var err error
				n, err = tx.change("UPDATE tasks SET state = 2, until = ? "+isClaim,
					tx.us+l.For.Microseconds(), p.seq, int64(l.Receipt.Epoch), l.Receipt.Owner, b.ns)
				if err != nil {
					return err
				}
			}
			if n == 0 {
				lost = append(lost, l.Receipt)
			} else if p.unique {
				if err := b.renew(tx, p.seq); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return lost, err
}

// What an owner has leased, and what was and nobody took over: both are few, however many wait.
const (
	releaseLeased = "UPDATE tasks INDEXED BY tasks_leased " + release + " AND state = 2"
	releaseLeft   = "UPDATE tasks INDEXED BY tasks_left " + release + " AND state = 0"
	release       = "SET state = 0, owner = NULL, redeliveries = redeliveries + 1, updated = ? WHERE owner = ? AND ns = ?"
)

// ReleaseOwner implements stem.Takeover.
func (b *broker) ReleaseOwner(ctx context.Context, owner string) (int, error) {
	sum := 0
	err := b.write(ctx, "release owner", func(tx *tx) error {
		sum = 0
		for _, query := range []string{releaseLeased, releaseLeft} {
			n, err := tx.change(query, tx.us, owner, b.ns)
			if err != nil {
				return err
			}
			sum += int(n)
		}
		return nil
	})
	return sum, err
}
