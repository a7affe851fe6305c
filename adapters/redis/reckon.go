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

// reckon is the store's time in microseconds as far as it is known without asking.
func (d *db) reckon(ctx context.Context) (int64, error) {
	if now := d.reckoned(); now > 0 {
		return now, nil
	}
	now, err := d.now(ctx)
	return now.UnixMicro(), err
}

// reckoned is the same, and 0 when it would have to ask. What the server said long ago, or before this host slept or its clock was set, is not used.
func (d *db) reckoned() int64 {
	if d.ownClock {
		return d.opts.Now().UnixMicro()
	}
	r := d.reckoning.Load()
	if r == nil {
		return 0
	}
	now := time.Now()
	passed, shown := now.Sub(r.here), now.Round(0).Sub(r.here.Round(0))
	if passed >= reckonFor || (passed-shown).Abs() >= reckonEvery {
		return 0
	}
	return r.server.Add(passed).UnixMicro()
}

// later is this time, or what it gave before if that is later: what comes one after the other stays so. Among those of one time offers stand by
// their ids, which rise.
func (d *db) later(now int64) int64 {
	for {
		last := d.last.Load()
		now = max(now, last)
		if d.last.CompareAndSwap(last, now) {
			return now
		}
	}
}

// reckonBy notes what the server has just said, in microseconds, unless that was noted lately.
func (d *db) reckonBy(server int64) {
	if r := d.reckoning.Load(); r == nil || time.Since(r.here) > reckonEvery {
		d.reckoning.Store(&reckoning{at(server), time.Now()})
	}
}
