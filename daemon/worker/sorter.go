package worker

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

const (
	// sortBatch is the most tasks sorted in one round trip.
	sortBatch = 100
	// lanesEvery is how often the parked lanes of known names are looked at.
	lanesEvery = time.Second
	// manifestsWithin is how long the default queue waits at start for pools that are slow to say what they handle.
	manifestsWithin = 10 * time.Second
)

// sortLoop empties the places no pool claims from: the parked lanes of the names handled here, and the default queue when no
// pool owns it. What it finds is moved to its home queue, or from the default queue to the lane of its name; it runs nothing.
func (w *Worker) sortLoop(ctx context.Context) {
	retry := newBackoff()
	began := time.Now()
	var looked time.Time
	for ctx.Err() == nil {
		if !w.mayDispatch() {
			pause(ctx, claimWait, nil)
			continue
		}
		c := stem.Claim{Max: sortBatch}
		lanes := time.Since(looked) >= lanesEvery
		if lanes {
			c.Queues = w.homes.lanes()
		} else if w.homes.sorts() && (w.allKnown() || time.Since(began) > manifestsWithin) {
			c.Queues, c.Wait = []stem.QueueLimit{{Queue: stem.DefaultQueue}}, lanesEvery-time.Since(looked)
		}
		if len(c.Queues) == 0 {
			if lanes {
				looked = time.Now()
			}
			wait := time.NewTimer(lanesEvery - time.Since(looked))
			select {
			case <-ctx.Done():
			case <-wait.C:
			case <-w.learned:
				looked = time.Time{}
			}
			wait.Stop()
			continue
		}
		asked := time.Now()
		ds, err := w.claim(ctx, c)
		if err != nil {
			pause(ctx, retry.NextBackOff(), nil)
			continue
		}
		retry.Reset()
		if lanes && len(ds) < sortBatch {
			looked = time.Now()
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
