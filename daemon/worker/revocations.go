package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
)

const (
	// revocationsEvery is how often new revocations are looked for when no hint arrives.
	revocationsEvery = 3 * time.Second
	// revocationsOverlap is read again each time: records are versioned by the store's clock, and one that was written a
	// little earlier may become visible a little later. In microseconds, as versions are.
	revocationsOverlap = 5_000_000
)

// revocations is what is known of cancelled tasks. It is safe for concurrent use.
type revocations struct {
	any  atomic.Bool // there are some
	mu   sync.RWMutex
	byID map[string]stem.Record
	read int64 // highest version seen
}

// of returns the revocation of a task, or nil. One that is older than the task's present life does not count.
func (r *revocations) of(d *stem.Delivery) *stem.Revocation {
	if !r.any.Load() {
		return nil
	}
	r.mu.RLock()
	record, ok := r.byID[d.ID]
	r.mu.RUnlock()
	if !ok || record.Updated.Before(d.State.Created) {
		return nil
	}
	var body stem.Revocation
	if err := json.Unmarshal(record.Body, &body); err != nil {
		body = stem.Revocation{TaskID: record.ID}
	}
	return &body
}

// learn takes records in and returns those that are new.
func (r *revocations) learn(records []stem.Record, now time.Time) (fresh []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range records {
		r.read = max(r.read, record.Version)
		if known, ok := r.byID[record.ID]; !ok || known.Version < record.Version {
			r.byID[record.ID] = record
			fresh = append(fresh, record.ID)
		}
	}
	for id, record := range r.byID {
		if !record.Expires.IsZero() && record.Expires.Before(now) {
			delete(r.byID, id)
		}
	}
	r.any.Store(len(r.byID) > 0)
	return fresh
}

func (r *revocations) since() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return max(r.read-revocationsOverlap, 0)
}

// readRevocations looks for new revocations and stops the attempts they are about.
func (w *Worker) readRevocations(ctx context.Context) error {
	var whole string // they all lie in the one part without a name
	query := stem.RecordQuery{Kind: stem.KindRevocation, Part: &whole, AfterVersion: w.revocations.since(), Limit: 1000}
	for {
		page, err := w.store.Records.List(ctx, query)
		if err != nil {
			return fmt.Errorf("worker: read revocations: %w", err)
		}
		for _, id := range w.revocations.learn(page.Items, time.Now()) {
			w.stopRevoked(id)
		}
		if query.Cursor = page.Next; query.Cursor == "" {
			return nil
		}
	}
}

// revocationLoop reads revocations when a hint arrives, and now and then.
func (w *Worker) revocationLoop(ctx context.Context) {
	var hints <-chan []byte
	if w.store.Bus != nil {
		var err error
		if hints, err = w.store.Bus.Subscribe(ctx, stem.TopicRevocations); err != nil {
			w.log.Warn("no hints of cancellations: they are noticed a few seconds later", "error", err)
		}
	}
	tick := time.NewTicker(revocationsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-hints:
			if !ok {
				hints = nil
				continue
			}
		case <-tick.C:
		}
		switch err := w.readRevocations(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.revokeOutage.failed(err, "cancellations are noticed late")
		default:
			w.revokeOutage.over()
		}
	}
}

// stopRevoked marks the attempts of a revoked task, so that they are not retried, and stops them if that is asked for.
func (w *Worker) stopRevoked(id string) {
	r := w.revocations
	r.mu.RLock()
	_, found := r.byID[id]
	r.mu.RUnlock()
	if !found {
		return
	}
	var stop []*attempt
	w.inflight.each(func(a *attempt) {
		if a.delivery.ID != id || a.over || a.revoked != nil && a.revoked.Force {
			return
		}
		if a.revoked = w.revocations.of(&a.delivery); a.revoked != nil && (a.revoked.Terminate || a.revoked.Force) {
			stop = append(stop, a)
		}
	})
	for _, a := range stop {
		a.pool.runner.Cancel(id, a.delivery.Receipt.Epoch, "cancelled", a.revoked.Force)
	}
}
