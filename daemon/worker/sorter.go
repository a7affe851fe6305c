package worker

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

const (
	// sortBatch is the most tasks sorted in one round trip.
	sortBatch = 100
	// learnWait is how long a claim of these places waits while pools are still to say what they handle.
	learnWait = time.Second
	// manifestsWithin is how long the default queue waits at start for pools that are slow to say what they handle.
	manifestsWithin = 10 * time.Second
)

// sortLoop empties the places no pool claims from: the parked lanes of the names handled here, and the default queue when no
// pool owns it. What it finds is moved to its home queue, or from the default queue to the lane of its name; it runs nothing.
func (w *Worker) sortLoop(ctx context.Context) {
	retry := newClaimBackoff()
	began := time.Now()
	for ctx.Err() == nil {
		if !w.mayDispatch() {
			pause(ctx, fullPause, nil)
			continue
		}
		c, known := stem.Claim{Queues: w.homes.lanes(), Max: sortBatch, Wait: claimWait}, w.allKnown()
		if !known {
			c.Wait = learnWait
		}
		if w.homes.sorts() && (known || time.Since(began) > manifestsWithin) {
			c.Queues = append(c.Queues, stem.QueueLimit{Queue: stem.DefaultQueue})
		}
		if len(c.Queues) == 0 {
			pause(ctx, learnWait, w.learned)
			continue
		}
		asked := time.Now()
		ds, err := w.claim(ctx, c)
		if retry.failed(ctx, err, time.Since(asked), nil) {
			continue
		}
		w.take(nil, ds, asked)
	}
}

// allKnown says whether every pool has said what it handles.
func (w *Worker) allKnown() bool {
	for _, p := range w.pools {
		if !p.known.Load() {
			return false
		}
	}
	return true
}
