package worker

import (
	"errors"
	"fmt"

	"github.com/stemd/stem"
)

const (
	// settleBatch is the most settlements in one round trip.
	settleBatch = 512
	// maxOutcomes is how many outcomes may wait for a store that does not answer before no more is dispatched.
	maxOutcomes = 10_000
)

// settle hands a decided claim to the collector. It does not block.
func (w *Worker) settle(t *task, s stem.Settlement) {
	t.settlement = s
	w.settlements.Add(t, func(struct{}, error) {})
}

// write is the collector's: it writes a batch and does not give up while the store does not answer, so that what came first
// is written first. It fails only when the worker ends.
func (w *Worker) write(ts []*task) ([]struct{}, error) {
	batch := make([]stem.Settlement, len(ts))
	for i, t := range ts {
		batch[i] = t.settlement
	}
	retry := newBackoff()
	for {
		errs, err := w.store.Broker.Settle(w.storeCtx, batch...)
		if err == nil {
			w.settleOutage.over()
			w.settled(ts, errs)
			return make([]struct{}, len(ts)), nil
		}
		if w.storeCtx.Err() == nil {
			attempts, outcomes := w.table.counts()
			w.settleOutage.failed(err, fmt.Sprintf("claims stopped, %d tasks go on, %d outcomes are kept", attempts, outcomes))
		}
		if !pause(w.storeCtx, retry.NextBackOff(), nil) {
			w.table.remove(ts)
			w.abandoned.Add(uint64(len(ts)))
			return nil, err
		}
		// Whatever the leases did meanwhile: those that nobody took are ours again before anything else happens.
		w.renew(w.storeCtx, true)
	}
}

// settled counts what became of a batch and forgets it.
func (w *Worker) settled(ts []*task, errs []error) {
	for i, t := range ts {
		s, err := &t.settlement, errs[i]
		switch {
		case err == nil:
			w.counters.count(s)
			if s.Kind == stem.Dead {
				w.buried(t)
			}
		case errors.Is(err, stem.ErrLeaseLost):
			w.counters.lost.Add(1)
			w.log.Debug("lease lost before the outcome was written", "id", t.delivery.ID, "name", t.delivery.Name)
		case errors.Is(err, stem.ErrConflict):
			w.counters.refused.Add(1)
			w.log.Warn("outcome met a record that had changed: the task runs again when its lease ends", "id", t.delivery.ID, "name", t.delivery.Name)
		default:
			w.counters.refused.Add(1)
			w.log.Error("outcome refused by the store: the task runs again when its lease ends", "id", t.delivery.ID, "name", t.delivery.Name, "error", err)
		}
	}
	w.table.remove(ts)
}

// buried logs a dead letter.
func (w *Worker) buried(t *task) {
	s := &t.settlement
	message := ""
	if s.Result != nil && s.Result.Status.Error != nil {
		message = s.Result.Status.Error.Message
	}
	w.log.Warn("dead letter", "id", t.delivery.ID, "name", t.delivery.Name, "reason", s.Reason,
		"attempt", t.delivery.State.Attempt+1, "error", message)
}
