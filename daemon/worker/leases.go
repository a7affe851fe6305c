package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stemd/stem"
)

// extendBatch is the most leases in one round trip.
const extendBatch = 1000

// renewLoop renews leases when the first of them is a third old.
func (w *Worker) renewLoop(ctx context.Context) {
	retry := newBackoff()
	for {
		if at, due := w.inflight.nextRenewal(time.Now(), w.cfg.Lease); !due {
			if !pause(ctx, time.Until(at), w.inflight.due) {
				return
			}
			continue
		}
		if w.renew(ctx, false) {
			retry.Reset()
		} else if !pause(ctx, min(retry.NextBackOff(), w.cfg.Lease/6), nil) {
			return
		}
	}
}

// renew extends every lease older than a third of it and those in queues where one could not be renewed, or all, and stops the attempts
// whose lease somebody else has. It says whether the store answered.
func (w *Worker) renew(ctx context.Context, all bool) bool {
	w.renewing.Lock()
	defer w.renewing.Unlock()
	leases := w.inflight.dueLeases(time.Now(), func(queue string) bool { return all || w.unrenewed.in(queue) })
	var out []stem.Lease
	defer func() { w.unrenewed.set(out) }()
	for len(leases) > 0 {
		n := min(len(leases), extendBatch)
		failed, apart := w.extend(ctx, leases[:n])
		out, leases = append(out, failed...), leases[n:]
		switch {
		case len(failed) == 0 && len(out) == 0:
			w.renewOutage.over()
		case len(failed) > 0 && !apart: // the others would fare no better
			out = append(out, leases...)
			return false
		}
	}
	return len(out) == 0
}

// extend extends a batch of leases and returns those for which the store did not answer. Where a part of it does not, the leases of each
// queue are extended apart, and other batches may fare better.
func (w *Worker) extend(ctx context.Context, leases []stem.Lease) (out []stem.Lease, apart bool) {
	asked := time.Now()
	lost, err := w.store.Broker.Extend(ctx, leases...)
	if errors.Is(err, stem.ErrUnreachable) {
		apart = true
		if queues := byQueue(leases); len(queues) > 1 {
			for _, part := range queues {
				failed, _ := w.extend(ctx, part)
				out = append(out, failed...)
			}
			return out, apart
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			w.renewOutage.failed(err, "leases may be lost")
		}
		return leases, apart
	}
	w.counters.renewed.Add(uint64(len(leases) - len(lost)))
	w.inflight.renewed(leases, asked)
	for _, r := range lost {
		w.lose(r)
	}
	return nil, apart
}

// missed are the queues in which leases could not be renewed. What we hold there would come to us once more if we claimed there before
// that. The zero value is empty; it is safe for concurrent use.
type missed struct {
	mu     sync.Mutex
	queues map[string]struct{}
}

// set makes it the queues of these leases.
func (m *missed) set(leases []stem.Lease) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queues = map[string]struct{}{}
	for _, l := range leases {
		m.queues[l.Receipt.Queue] = struct{}{}
	}
}

func (m *missed) some() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queues) > 0
}

func (m *missed) in(queue string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, in := m.queues[queue]
	return in
}

// without leaves these queues out.
func (m *missed) without(queues []stem.QueueLimit) []stem.QueueLimit {
	return slices.DeleteFunc(slices.Clone(queues), func(q stem.QueueLimit) bool { return m.in(q.Queue) })
}

func byQueue(leases []stem.Lease) map[string][]stem.Lease {
	out := map[string][]stem.Lease{}
	for _, l := range leases {
		out[l.Receipt.Queue] = append(out[l.Receipt.Queue], l)
	}
	return out
}

// lose ends an attempt whose task somebody else may be running: it is killed before anything else, and its outcome will not
// count. A claim whose outcome is on its way is left to the settlement.
func (w *Worker) lose(r stem.Receipt) {
	a := w.inflight.lose(attemptKey{r.ID, r.Epoch})
	if a == nil {
		return
	}
	w.leasesLost.Add(1)
	w.log.Warn("lease lost: the attempt is stopped", "task", a.delivery.ID, "name", a.delivery.Name, "attempt", a.delivery.State.Attempt+1)
	a.pool.runner.Cancel(r.ID, r.Epoch, "lost-lease", true)
}

// renewAt is when a lease is a third old, and renewBy when it is to be renewed at the latest: a twelfth later, so that claims of about
// the same age share a round.
func (a *attempt) renewAt() time.Time { return a.leasedUntil.Add(-2 * a.lease / 3) }
func (a *attempt) renewBy() time.Time { return a.leasedUntil.Add(-7 * a.lease / 12) }

// plan makes sure that the next look is not too late for a; the caller holds the lock.
func (f *inflight) plan(a *attempt) {
	if by := a.renewBy(); by.Before(f.planned) {
		f.planned = by
		poke(f.due)
	}
}

// nextRenewal says whether a round is due now, or else when to look again: in time also for what is claimed meanwhile with the usual lease, so
// that nobody has to be woken by each claim.
func (f *inflight) nextRenewal(now time.Time, usual time.Duration) (at time.Time, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planned = now.Add(5 * usual / 12)
	for _, a := range f.all {
		if by := a.renewBy(); !a.lost && by.Before(f.planned) {
			f.planned = by
		}
	}
	return f.planned, !f.planned.After(now)
}

// dueLeases lists what a round renews: what is due, and all in some queues.
func (f *inflight) dueLeases(now time.Time, all func(queue string) bool) []stem.Lease {
	f.mu.Lock()
	defer f.mu.Unlock()
	var due []stem.Lease
	for _, a := range f.all {
		if !a.lost && (!a.renewAt().After(now) || all(a.delivery.Queue)) {
			due = append(due, stem.Lease{Receipt: a.delivery.Receipt, For: a.lease})
		}
	}
	return due
}

// renewed notes that leases were asked for at a time.
func (f *inflight) renewed(leases []stem.Lease, asked time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range leases {
		l := &leases[i]
		if a := f.all[attemptKey{l.Receipt.ID, l.Receipt.Epoch}]; a != nil {
			a.leasedUntil = asked.Add(l.For)
			a.safeUntil = a.leasedUntil
		}
	}
}

// lose marks a running claim as lost and returns it; nil when it is not running.
func (f *inflight) lose(k attemptKey) *attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.all[k]
	if a == nil || a.over || a.lost {
		return nil
	}
	a.lost = true
	return a
}

// prolong makes the lease of a last for at least d from now, and from then on, until its attempt ends; the caller holds the
// lock.
func (f *inflight) prolong(a *attempt, d time.Duration, now time.Time) {
	a.lease = max(a.lease, d)
	a.leasedUntil = now
	f.plan(a)
}

// poke makes sure that c's reader looks once more.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it will
	}
}
