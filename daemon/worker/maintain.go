package worker

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

// maintainEvery is the time between two rounds of deleting what is past its retention.
const maintainEvery = time.Minute

// maintainLoop has the store delete what is past its retention: a slice, then a pause as long as the slice took, until nothing is
// left. So claims go on beside it, and deleting keeps up with a store that is filled as fast as it can be.
func (w *Worker) maintainLoop(ctx context.Context) {
	maintainer, ok := w.store.Broker.(stem.Maintainer)
	if !ok {
		return
	}
	for pause(ctx, maintainEvery, nil) {
		var round stem.Maintained
		for more := true; more; {
			begun := time.Now()
			slice, err := maintainer.Maintain(ctx)
			if err != nil {
				if ctx.Err() == nil {
					w.log.Warn("store: could not delete what has expired", "error", err)
				}
				break
			}
			round = round.Add(slice)
			w.countDeleted(slice)
			more = slice.More && pause(ctx, time.Since(begun), nil)
		}
		if round.More = false; round != (stem.Maintained{}) {
			w.log.Info("store: deleted what has expired", "results", round.Results, "dead_letters", round.DeadLetters,
				"records", round.Records, "ids", round.SeenIDs, "groups", round.Groups, "events", round.Events, "limits", round.Limits)
		}
	}
}

func (w *Worker) countDeleted(slice stem.Maintained) {
	slice.More = false
	w.deletedMu.Lock()
	defer w.deletedMu.Unlock()
	w.deleted = w.deleted.Add(slice)
}
