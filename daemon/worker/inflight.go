package worker

import (
	"sync"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// attempt is one claimed task between its dispatch and the answer to its settlement.
type attempt struct {
	delivery  stem.Delivery
	header    *stem.Header
	effective effective
	pool      *pool
	lease     time.Duration

	// Guarded by inflight.mu.
	leasedUntil time.Time
	safeUntil   time.Time // the lease is ours at least until then
	unsafe      bool      // killed because safeUntil was near
	over        bool      // its outcome arrived; it is only waiting for its settlement
	lost        bool      // somebody else has it: its outcome counts for nothing
	stopping    bool      // asked to stop for a shutdown
	early       bool      // acknowledged before it ran
	revoked     *stem.Revocation
	progress    *plugin.Progress // latest, not yet saved
	reported    *plugin.Progress // latest
}

// inflight is every claim this daemon holds.
type inflight struct {
	mu    sync.Mutex
	all   map[attemptKey]*attempt
	empty chan struct{} // closed and replaced whenever all becomes empty

	due     chan struct{} // poked when a lease ends sooner than the planned look at them allows for
	planned time.Time     // next look at the leases; zero: the first is to come

	guard chan struct{} // poked when an exclusive attempt is added
}

type attemptKey struct {
	id    string
	epoch stem.Epoch
}

func keyOf(d *stem.Delivery) attemptKey { return attemptKey{d.ID, d.Receipt.Epoch} }

func newInflight() *inflight {
	return &inflight{all: map[attemptKey]*attempt{}, empty: make(chan struct{}), due: make(chan struct{}, 1), guard: make(chan struct{}, 1)}
}

func (f *inflight) add(as []*attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range as {
		f.all[keyOf(&a.delivery)] = a
		f.plan(a)
		if a.guarded() {
			poke(f.guard)
		}
	}
}

// get finds the attempt of a runner's report; nil: it is none of ours any more.
func (f *inflight) get(a plugin.Attempt) *attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[attemptKey{a.ID, a.Epoch}]
}

func (f *inflight) remove(a *attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, keyOf(&a.delivery))
	a.delivery.Envelope = stem.Envelope{} // attempts of one claim share memory: do not keep every body for the slowest
	if len(f.all) == 0 {
		close(f.empty)
		f.empty = make(chan struct{})
	}
}

// drained returns a channel that is closed once nothing is held, now or later.
func (f *inflight) drained() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	return f.empty
}

// each calls fn for every attempt, under the lock.
func (f *inflight) each(fn func(*attempt)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.all {
		fn(a)
	}
}

// running counts the attempts whose outcome is awaited, by queue.
func (f *inflight) running() (total int, byQueue map[string]int) {
	byQueue = map[string]int{}
	f.each(func(a *attempt) {
		if !a.over {
			total++
			byQueue[a.delivery.Queue]++
		}
	})
	return total, byQueue
}
