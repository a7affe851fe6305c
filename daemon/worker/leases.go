package worker

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

// extendBatch is the most leases in one round trip.
const extendBatch = 1000

// renewLoop renews leases when the first of them is a third old.
func (w *Worker) renewLoop(ctx context.Context) {
	retry := newBackoff()
	for {
		wait := time.Hour
		if at := w.table.nextRenewal(); !at.IsZero() {
			wait = time.Until(at)
		}
		if wait > 0 {
			if !pause(ctx, wait, w.table.due) {
				return
			}
			continue // it may have been a poke: look again
		}
		if w.renew(ctx, false) {
			retry.Reset()
		} else if !pause(ctx, min(retry.NextBackOff(), w.cfg.Lease/6), nil) {
			return
		}
	}
}

// renew extends every lease older than a third of it, or all, and stops the attempts whose lease somebody else has. It says
// whether the store answered.
func (w *Worker) renew(ctx context.Context, all bool) bool {
	w.renewing.Lock()
	defer w.renewing.Unlock()
	leases := w.table.dueLeases(time.Now(), all)
	for len(leases) > 0 {
		n := min(len(leases), extendBatch)
		asked := time.Now()
		lost, err := w.store.Broker.Extend(ctx, leases[:n]...)
		if err != nil {
			if ctx.Err() == nil {
				w.renewOutage.failed(err, "leases may be lost")
			}
			return false
		}
		w.renewOutage.over()
		w.counters.renewed.Add(uint64(n - len(lost)))
		w.table.renewed(leases[:n], asked)
		for _, r := range lost {
			w.lose(r)
		}
		leases = leases[n:]
	}
	return true
}

// lose ends an attempt whose task somebody else may be running: it is killed before anything else, and its outcome will not
// count. A claim whose outcome is on its way is left to the settlement.
func (w *Worker) lose(r stem.Receipt) {
	t := w.table.lose(key{r.ID, r.Epoch})
	if t == nil {
		return
	}
	w.counters.lost.Add(1)
	w.log.Warn("lease lost: the attempt is stopped", "id", t.delivery.ID, "name", t.delivery.Name, "attempt", t.delivery.State.Attempt+1)
	t.pool.runner.Cancel(r.ID, r.Epoch, "lost-lease", true)
}

// nextRenewal is when the next round is due; zero: nothing is held. Rounds keep a distance of a twelfth of the shortest lease
// so that claims of different age share one.
func (tb *table) nextRenewal() time.Time {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	var first time.Time
	for _, t := range tb.tasks {
		if !t.lost && (first.IsZero() || t.renewAt.Before(first)) {
			first = t.renewAt
		}
	}
	if !first.IsZero() && first.Before(tb.notBefore) {
		first = tb.notBefore
	}
	tb.renewAt = first
	return first
}

// dueLeases lists what a round renews.
func (tb *table) dueLeases(now time.Time, all bool) []stem.Lease {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	var due []stem.Lease
	shortest := time.Duration(0)
	for _, t := range tb.tasks {
		if shortest == 0 || t.lease < shortest {
			shortest = t.lease
		}
		if !t.lost && (all || !t.renewAt.After(now)) {
			due = append(due, stem.Lease{Receipt: t.delivery.Receipt, For: t.lease})
		}
	}
	tb.notBefore = now.Add(shortest / 12)
	return due
}

// renewed notes that leases were asked for at a time.
func (tb *table) renewed(leases []stem.Lease, asked time.Time) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for i := range leases {
		l := &leases[i]
		if t := tb.tasks[key{l.Receipt.ID, l.Receipt.Epoch}]; t != nil {
			t.renewAt = asked.Add(l.For / 3)
		}
	}
}

// lose marks a running claim as lost and returns it; nil when it is not running.
func (tb *table) lose(k key) *task {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	t := tb.tasks[k]
	if t == nil || t.phase != running || t.lost {
		return nil
	}
	t.lost = true
	return t
}

// prolong makes the lease of an open claim last for at least d from now, and from then on, until its attempt ends.
func (tb *table) prolong(t *task, d time.Duration, now time.Time) {
	tb.mu.Lock()
	t.lease = max(t.lease, d)
	t.renewAt = now
	tb.renewAt = now
	tb.mu.Unlock()
	poke(tb.due)
}
