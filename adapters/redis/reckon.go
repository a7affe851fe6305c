package redis

import (
	"context"
	"time"
)

// reckoning is which time the server had at one of ours.
type reckoning struct{ server, here time.Time }

const (
	// reckonEvery is how often a producer has the server say its time along with a message.
	reckonEvery = time.Second
	// reckonFor is how long what it said holds.
	reckonFor = 10 * time.Second
)

// reckon is the store's time in microseconds as far as it is known without asking. What the server said long ago, or before this host slept or
// its clock was set, is not used.
func (d *db) reckon(ctx context.Context) (int64, error) {
	if d.ownClock {
		return d.opts.Now().UnixMicro(), nil
	}
	if r := d.reckoning.Load(); r != nil {
		now := time.Now()
		passed, shown := now.Sub(r.here), now.Round(0).Sub(r.here.Round(0))
		if passed < reckonFor && (passed-shown).Abs() < reckonEvery {
			return r.server.Add(passed).UnixMicro(), nil
		}
	}
	now, err := d.now(ctx)
	return now.UnixMicro(), err
}
