package host

import (
	"math/rand/v2"
	"time"
)

// Recycle says when a process is replaced though nothing is wrong with it. Zero fields: never. Its successor is ready before it
// stops taking attempts, and it ends those it holds.
type Recycle struct {
	Tasks  int           // attempts after which it takes no more
	Age    time.Duration // each process draws a tenth less at most, so that not all are replaced at once
	Memory int64         // bytes resident, with its child processes; looked at between attempts and in them
}

// lead is how many attempts before the last one a successor is started.
func (r Recycle) lead() int { return min(r.Tasks/10, 100) }

// lifetime draws how long a process may live; 0: as long as it likes.
func (r Recycle) lifetime() time.Duration {
	if r.Age <= 0 {
		return 0
	}
	return r.Age - time.Duration(rand.Int64N(int64(r.Age)/10+1))
}

// fitness is whether a process should go on.
type fitness int

const (
	fit     fitness = iota
	spent           // it takes attempts until its successor is ready
	retired         // it takes no more
)

// fitness says how a process is. It also ends one that has retired, is empty and does not go.
func (p *process) fitness(now time.Time) fitness {
	r := p.pool.cfg.Recycle
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.retired:
		if !p.emptied.IsZero() && now.Sub(p.emptied) > p.pool.cfg.Grace && !p.overdue {
			p.overdue = true
			go p.kill(cause{kind: causeStop}) // it does not wait, but takes the lock
		}
		return retired
	case p.closed || p.out.drain:
		return retired
	case p.why != "":
		return spent
	case r.Tasks > 0 && int(p.seq) >= r.Tasks-r.lead():
		p.why = "tasks"
	case p.lifetime > 0 && now.Sub(p.born) >= p.lifetime:
		p.why = "age"
	case r.Memory > 0 && p.resident.Load() > r.Memory:
		p.why = "memory"
	default:
		return fit
	}
	p.pool.log.Info("process is to be replaced", "pid", p.child.id.Pid, "why", p.why, "attempts", p.seq,
		"age", now.Sub(p.born).Round(time.Second), "resident", p.resident.Load())
	return spent
}

// retire has the process take nothing more, give back what has not started, end what runs and then go.
func (p *process) retire() {
	p.mu.Lock()
	p.retired = true
	p.mu.Unlock()
	p.recallUnstarted()
	p.mu.Lock()
	p.goIfEmpty()
	p.mu.Unlock()
	nudge(p.wake)
}

func (p *process) isRetired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.retired
}

// goIfEmpty asks a retired process to end once it holds nothing; the caller holds the lock and nudges the sender.
func (p *process) goIfEmpty() {
	if p.retired && p.emptied.IsZero() && len(p.held) == 0 {
		p.emptied = time.Now()
		p.out.drain = true
	}
}

// worked notes that a process gave attempts back, and whether it had run some of them.
func (p *Pool) worked(proc *process, ran bool) {
	if ran && !p.useful.Load() {
		p.useful.Store(true)
	}
	proc.mu.Lock()
	proc.goIfEmpty()
	look := proc.retired || p.cfg.Recycle.Tasks > 0 && int(proc.seq) >= p.cfg.Recycle.Tasks-p.cfg.Recycle.lead()
	proc.mu.Unlock()
	if look {
		nudge(proc.wake)
		nudge(p.crew.changed)
	}
}
