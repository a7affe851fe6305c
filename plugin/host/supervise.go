package host

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stemd/stem/internal/scale"
)

const (
	// tend is how often a pool looks after its processes while nothing happens.
	tend = time.Second
	// eager is the same while something is due soon: a retired process, a probe, a recycling.
	eager = 100 * time.Millisecond
)

// crew is who works in a pool and who should. Its fields are guarded by the pool's lock. Processes that take attempts, and those
// that have stopped taking them and still hold some, are the pool's ready.
type crew struct {
	scale    scale.State
	known    int        // backlog last told; -1: none
	starting int        // launches under way
	spares   []*process // ready, taking nothing yet
	dying    int        // processes that fell out and whose end is not judged yet: until then nobody takes their place
	owed     int        // deaths that are not made up for
	undead   []*process // killed long ago and not dead: while there are any the pool is quarantined
	restarts int
	health   health
	changed  chan struct{} // something for manage
}

// manage keeps the pool at its size until ctx ends and every process is gone. All changes are decided here, one after the other.
func (p *Pool) manage(ctx context.Context) {
	var members sync.WaitGroup
	defer members.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	looked := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.crew.changed:
		case <-timer.C:
		}
		now := time.Now()
		if now.Sub(looked) >= tend {
			looked = now
			for _, proc := range p.everyone() {
				proc.notePeak() // what is counted at its death may say nothing, see peakAtDeath
			}
		}
		plan := p.plan(now)
		for _, proc := range plan.promote {
			p.join(proc)
		}
		for _, proc := range plan.retire {
			proc.retire()
		}
		for range plan.start {
			members.Go(func() { p.man(ctx) })
		}
		timer.Reset(plan.again)
	}
}

// man launches one process and serves it until it is dead.
func (p *Pool) man(ctx context.Context) {
	begun := time.Now()
	proc, err := p.launch(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return
	case err != nil:
		p.failed(proc, begun, err)
		return
	}
	p.started(proc)
	d := proc.serve(ctx)
	if ctx.Err() == nil {
		p.died(proc, d)
	}
}

// plan is what manage does next.
type plan struct {
	promote, retire []*process
	start           int
	again           time.Duration
}

// plan compares what is with what should be.
func (p *Pool) plan(now time.Time) (out plan) {
	waiting := p.waiting.size() + p.ward.size() // before the pool's lock, which isolate takes under the ward's
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.crew
	out.again = tend
	p.rescale(now, waiting)
	p.heal(now)

	serving, leaving, worn := 0, 0, []*process(nil)
	for _, proc := range p.ready {
		switch proc.fitness(now) {
		case fit:
			serving++
		case spent:
			serving++
			worn = append(worn, proc)
		case retired:
			leaving++
		}
	}
	target, spare := c.scale.Size, p.cfg.Processes.Spare
	if target == 0 {
		spare = 0
	}
	if c.health.ailing(p.cfg.Restart) {
		target, spare = min(target, max(serving, 1)), 0
	}
	// One in four is replaced at a time: its successor is ready before it stops.
	renew := min(len(worn), max(1, target/4))

	for len(c.spares) > 0 && serving < target+renew {
		proc := c.spares[0]
		c.spares = c.spares[1:]
		out.promote = append(out.promote, proc)
		serving++
	}
	for surplus := serving - target; surplus > 0; surplus-- {
		var victim *process
		if len(worn) > 0 {
			victim, worn = worn[0], worn[1:]
		} else if victim = p.idlest(out.retire); victim == nil {
			break
		}
		out.retire = append(out.retire, victim)
	}
	for len(c.spares) > spare {
		out.retire = append(out.retire, c.spares[0])
		c.spares = c.spares[1:]
	}
	lacking := target + renew + spare - serving - len(c.spares) - c.starting - c.dying
	if lacking > 0 && len(c.undead) == 0 {
		if wait := c.health.notBefore.Sub(now); wait > 0 {
			out.again = min(out.again, wait)
		} else {
			if c.health.ill() {
				lacking = min(lacking, 1-min(c.starting, 1))
			}
			out.start = lacking
			c.starting += lacking
		}
	}
	if leaving+len(out.retire)+len(worn) > 0 || c.health.ill() {
		out.again = min(out.again, eager)
	}
	return out
}

// rescale decides on the wanted size, with so many attempts waiting; the caller holds the lock.
func (p *Pool) rescale(now time.Time, waiting int) {
	c := &p.crew
	if p.rules.Min == p.rules.Max {
		c.scale.Size = p.rules.Max
		return
	}
	inflight := waiting
	for _, proc := range p.ready {
		_, held := proc.room()
		inflight += held
	}
	was := c.scale.Size
	c.scale = p.rules.Step(c.scale, scale.Observation{Now: now, Depth: c.known, Inflight: inflight})
	if p.manifest.Version == "" && p.manifest.Name == "" {
		c.scale.Size = max(c.scale.Size, 1) // nobody knows yet what it can do
	}
	if c.scale.Size != was {
		p.log.Info("pool changes its size", "from", was, "to", c.scale.Size, "backlog", c.scale.Depth, "inflight", inflight)
	}
}

// idlest is the serving process that holds the least, without those already chosen; the caller holds the lock.
func (p *Pool) idlest(chosen []*process) *process {
	rest := slices.DeleteFunc(slices.Clone(p.ready), func(proc *process) bool {
		return proc.fitness(time.Now()) == retired || slices.Contains(chosen, proc)
	})
	if len(rest) == 0 {
		return nil
	}
	held := func(proc *process) int { _, n := proc.room(); return n }
	return slices.MinFunc(rest, func(a, b *process) int { return cmp.Compare(held(a), held(b)) })
}

// started takes in a process that is ready: in common use if one is wanted there, else as a spare.
func (p *Pool) started(proc *process) {
	p.mu.Lock()
	p.vacate(proc)
	proc.took = time.Now()
	p.crew.health.rose()
	p.short.Store(false)
	if p.crew.owed > 0 {
		p.crew.owed--
		p.crew.restarts++
	}
	p.crew.spares = append(p.crew.spares, proc)
	p.mu.Unlock()
	p.log.Debug("process ready", "pid", proc.child.id.Pid, "version", proc.manifest.Version)
	nudge(p.crew.changed)
}

// Backlog tells the pool how many tasks are ready in its queues. Only pools that change their size heed it.
func (p *Pool) Backlog(depth int) {
	p.mu.Lock()
	p.crew.known = depth
	p.mu.Unlock()
	nudge(p.crew.changed)
}

// Scales says whether the pool changes its size, so that somebody should call Backlog.
func (p *Pool) Scales() bool { return p.rules.Min < p.rules.Max }
