package worker

import (
	"context"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// An exclusive task never runs twice at once, whatever happens to the store: its attempt is killed while its lease is surely still
// ours. Others run on through an outage, as most work is better done twice than stopped. What is sure is counted from when a lease
// was asked for, by this host's clock, so neither a slow answer nor a store's other clock matters. A host that is frozen as a
// whole kills nobody; then the epoch alone protects, which stops the outcome and not the run.

// guardAt is when an exclusive attempt has to be killed unless its lease is renewed before: a tenth of the lease is kept for
// dying.
func (a *attempt) guardAt() time.Time { return a.safeUntil.Add(-a.lease / 10) }

// guarded says whether the attempt is one to watch; the caller holds the lock.
func (a *attempt) guarded() bool { return a.effective.exclusive && !a.over && !a.lost && !a.unsafe }

// guardLoop kills exclusive attempts in time.
func (w *Worker) guardLoop(ctx context.Context) {
	for {
		wait := time.Hour
		if at := w.inflight.nextGuard(); !at.IsZero() {
			wait = time.Until(at)
		}
		if wait > 0 {
			if !pause(ctx, wait, w.inflight.guard) {
				return
			}
			continue
		}
		for _, a := range w.inflight.unsafe(time.Now()) {
			w.log.Warn("exclusive: the lease may lapse, the attempt is killed before it does", "task", a.delivery.ID,
				"name", a.delivery.Name, "attempt", a.delivery.State.Attempt+1)
			a.pool.runner.Cancel(a.delivery.ID, a.delivery.Receipt.Epoch, "lost-lease", true)
		}
	}
}

// secure renews leases of exclusive attempts that are short already, because the claim waited long for them, and returns the
// attempts that may start. The others are given back.
func (w *Worker) secure(as []*attempt) []*attempt {
	if !slices.ContainsFunc(as, func(a *attempt) bool { return a.effective.exclusive }) {
		return as
	}
	now := time.Now()
	var short []stem.Lease
	for _, a := range as {
		if a.effective.exclusive && a.safeUntil.Before(now.Add(a.lease/2)) {
			short = append(short, stem.Lease{Receipt: a.delivery.Receipt, For: a.lease})
		}
	}
	if len(short) > 0 {
		lost, err := w.store.Broker.Extend(w.settler.ctx, short...)
		if err != nil {
			w.renewOutage.failed(err, "exclusive tasks are not started")
		} else {
			w.inflight.renewed(short, now)
			for _, r := range lost {
				w.lose(r)
			}
		}
	}
	pass := as[:0:0]
	for _, a := range as {
		w.inflight.mu.Lock()
		lost := a.lost
		starts := !a.effective.exclusive || !lost && time.Now().Before(a.guardAt())
		a.over = a.over || !starts
		w.inflight.mu.Unlock()
		switch {
		case starts:
			pass = append(pass, a)
		case lost:
			w.inflight.remove(a)
		default:
			d := w.decision(a, time.Now())
			w.settle(a, &plugin.Outcome{}, d.release())
		}
	}
	return pass
}

// nextGuard is when the first exclusive attempt has to be killed; zero: there is none.
func (f *inflight) nextGuard() (next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.all {
		if at := a.guardAt(); a.guarded() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// unsafe lists the exclusive attempts that have to be killed now, each once.
func (f *inflight) unsafe(now time.Time) (as []*attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.all {
		if a.guarded() && !a.guardAt().After(now) {
			a.unsafe = true
			as = append(as, a)
		}
	}
	return as
}
