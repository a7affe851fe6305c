package host

import (
	"context"
	"fmt"
	"time"

	"github.com/stemd/stem/internal/proc"
)

// watchMemory looks at the memory of processes: of those that run something every watchEvery where a limit depends on it, of all
// of them every second. Child processes in the same process group count, and are looked for every second time. A process over its
// limit is killed in mid-task: RLIMIT_AS can not bound a Go program, which reserves far more address space than it uses, and
// RLIMIT_DATA counts what it has given back.
func (p *Pool) watchMemory(ctx context.Context) {
	limit := p.cfg.Limits.Memory
	if p.groups != nil {
		limit = 0
	}
	if limit == 0 && p.cfg.Recycle.Memory == 0 {
		return
	}
	every := tend
	if limit > 0 {
		every = watchEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	rest := int(tend / every)
	for round := 0; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.measure(limit, round%rest == 0, every == tend || round%2 == 0)
	}
}

// measure takes the memory of the busy processes or of all, with or without their child processes.
func (p *Pool) measure(limit int64, all, family bool) {
	var look []*process
	for _, pr := range p.everyone() {
		if _, held := pr.room(); all || held > 0 {
			look = append(look, pr)
		}
	}
	if len(look) == 0 {
		return
	}
	var families map[int]int64
	if family {
		families = proc.ResidentByGroup()
	}
	for _, pr := range look {
		pid := pr.child.id.Pid
		own, err := proc.Resident(pid)
		if err != nil {
			continue // it is dead
		}
		n := max(own, families[pid])
		pr.resident.Store(n)
		if limit > 0 && n > limit {
			pr.kill(cause{kind: causeMemory, why: fmt.Sprintf("%s resident, over its memory limit of %s", bytesOf(n), bytesOf(limit))})
		}
	}
}

// everyone is the processes in common use and the spares.
func (p *Pool) everyone() []*process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(append([]*process(nil), p.ready...), p.crew.spares...)
}
