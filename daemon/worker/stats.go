package worker

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
)

// Stats is a snapshot of a worker, for people and probes. Counts are since its start.
type Stats struct {
	Claimed   uint64 // deliveries
	Started   uint64 // attempts handed to a runner
	Succeeded uint64
	Retried   uint64
	Dead      uint64
	Cancelled uint64 // revoked or expired
	Held      uint64
	Released  uint64
	Parked    uint64
	Moved     uint64
	Lost      uint64 // leases
	Refused   uint64 // outcomes the store did not take
	Renewed   uint64 // leases

	Running   int // attempts now
	Settling  int // outcomes on their way to the store
	LastClaim time.Time
	Pools     []stem.HeartbeatPool
}

// counters are the counts of Stats.
type counters struct {
	claimed, started, lost, refused, renewed                              atomic.Uint64
	succeeded, cancelled, retried, dead, held, released, parked, moved atomic.Uint64
}

// count notes a settlement that was written.
func (c *counters) count(s *stem.Settlement) {
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
		Parked: c.parked.Load(), Moved: c.moved.Load(), Lost: c.lost.Load(), Refused: c.refused.Load(), Renewed: c.renewed.Load(),
	}
	s.Running, s.Settling = w.table.counts()
	if at := w.lastClaim.Load(); at != 0 {
		s.LastClaim = time.Unix(0, at).UTC()
	}
	for _, p := range w.pools {
		stats := p.runner.Stats()
		stats.Name, stats.Plugin = p.cfg.Name, p.plugin()
		s.Pools = append(s.Pools, stats)
	}
	return s
}

// plugin is the name of the pool's plugin.
func (p *pool) plugin() string {
	if p.cfg.Plugin != "" {
		return p.cfg.Plugin
	}
	return p.cfg.Name
}

// String lists queues with their weights, "media=3, thumbs=1".
func (q queues) String() string {
	parts := make([]string, 0, len(q))
	for queue, weight := range q {
		parts = append(parts, fmt.Sprintf("%s=%d", queue, weight))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
