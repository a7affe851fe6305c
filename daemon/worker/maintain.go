package worker

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

const (
	// maintainEvery is the time between two rounds of deleting what is past its retention.
	maintainEvery = time.Minute
	// maintainSlices bounds one round.
	maintainSlices = 100
)

// maintainLoop has the store delete what is past its retention, a slice at a time.
func (w *Worker) maintainLoop(ctx context.Context) {
	maintainer, ok := w.store.Broker.(stem.Maintainer)
	if !ok {
		return
	}
	for pause(ctx, maintainEvery, nil) {
		var sum stem.Maintained
		for range maintainSlices {
			slice, err := maintainer.Maintain(ctx)
			if err != nil {
				if ctx.Err() == nil {
					w.log.Warn("store: could not delete what has expired", "error", err)
				}
				break
			}
			sum = sum.Add(slice)
			if !slice.More {
				break
			}
		}
		if sum.More = false; sum != (stem.Maintained{}) {
			w.log.Info("store: deleted what has expired", "results", sum.Results, "dead_letters", sum.DeadLetters,
				"records", sum.Records, "ids", sum.SeenIDs, "groups", sum.Groups, "events", sum.Events)
		}
	}
}
