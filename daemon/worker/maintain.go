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
		var sum stem.Maintained
		for more := true; more; {
			begun := time.Now()
			slice, err := maintainer.Maintain(ctx)
			if err != nil {
				if ctx.Err() == nil {
					w.log.Warn("store: could not delete what has expired", "error", err)
				}
				break
			}
			sum = sum.Add(slice)
			more = slice.More && pause(ctx, time.Since(begun), nil)
		}
		if sum.More = false; sum != (stem.Maintained{}) {
			w.log.Info("store: deleted what has expired", "results", sum.Results, "dead_letters", sum.DeadLetters,
				"records", sum.Records, "ids", sum.SeenIDs, "groups", sum.Groups, "events", sum.Events)
		}
	}
}
