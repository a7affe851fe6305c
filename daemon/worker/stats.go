package worker

import (
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
)

// Stats is a snapshot of a worker, for people and probes. Counts are since its start.
type Stats struct {
	Claimed    uint64 // deliveries
	Started    uint64 // attempts handed to a runner
	Succeeded  uint64
	Retried    uint64
	Dead       uint64
	Cancelled  uint64 // revoked or expired
	Held       uint64
	Released   uint64
	Parked     uint64
	Moved      uint64
	Renewed    uint64 // leases
	LeasesLost uint64
	Unwritten  uint64 // outcomes given up at the end
	SoftLimits uint64 // passed by attempts, which then went on
	Deleted    stem.Maintained

	// Classes counts attempts that ended other than well, also those that did not count: collateral, drain, swap, lost_lease.
	Classes map[stem.Class]uint64
	// OutputsDropped counts attempts whose stderr and stack were dropped for newer ones of the same task name.
	OutputsDropped uint64

	Running   int // attempts now
	Settling  int // outcomes on their way to the store
	LastClaim time.Time
	Pools     []stem.HeartbeatPool
}

// counters are the counts of Stats.
type counters struct {
	claimed, started, renewed, softLimits                              atomic.Uint64
	succeeded, cancelled, retried, dead, held, released, parked, moved atomic.Uint64
}

// count notes what was decided about a claim, and logs dead letters.
func (w *Worker) count(a *attempt, s stem.Settlement) {
	c := &w.counters
	switch s.Kind {
	case stem.Done:
		if s.Result != nil && s.Result.Status.State == stem.Cancelled {
			c.cancelled.Add(1)
		} else {
			c.succeeded.Add(1)
		}
	case stem.Retry:
		c.retried.Add(1)
	case stem.Dead:
		c.dead.Add(1)
		w.log.Warn("dead letter", "task", a.delivery.ID, "name", a.delivery.Name, "reason", s.Reason,
			"attempt", a.delivery.State.Attempt+1, "error", s.Result.Status.Error.Message)
	case stem.Hold:
		c.held.Add(1)
	case stem.Release:
		c.released.Add(1)
	case stem.Park:
		c.parked.Add(1)
	case stem.Move:
		c.moved.Add(1)
	}
}

// Stats is what the worker did so far and does now.
func (w *Worker) Stats() Stats {
	c := &w.counters
	s := Stats{
		Claimed: c.claimed.Load(), Started: c.started.Load(), Succeeded: c.succeeded.Load(), Retried: c.retried.Load(),
		Dead: c.dead.Load(), Cancelled: c.cancelled.Load(), Held: c.held.Load(), Released: c.released.Load(),
		Parked: c.parked.Load(), Moved: c.moved.Load(), Renewed: c.renewed.Load(),
		LeasesLost: w.leasesLost.Load(), Unwritten: uint64(w.settler.abandoned.Load()), Settling: int(w.settler.waiting.Load()),
		SoftLimits: c.softLimits.Load(),
	}
	s.Classes, s.OutputsDropped = w.classes.snapshot(), w.outputs.count()
	w.deletedMu.Lock()
	s.Deleted = w.deleted
	w.deletedMu.Unlock()
	s.Running, _ = w.inflight.running()
	if at := w.lastClaim.Load(); at != 0 {
		s.LastClaim = time.Unix(0, at).UTC()
	}
	for _, p := range w.pools {
		stats := p.runner.Stats()
		stats.Name, stats.Plugin = p.Name, p.plugin()
		s.Pools = append(s.Pools, stats)
	}
	return s
}
