package host

import (
	"fmt"
	"slices"

	"github.com/stemd/stem"
)

// defied raises the alarm about a process that was killed long ago and is not dead: a handler stuck in the kernel, on a file system
// that does not answer, say. Its attempts may be running, so their leases go on, and whatever holds it would hold its successor, so
// the pool is quarantined until it is dead or Release gives it up. It is called again and again while that lasts.
func (p *Pool) defied(proc *process) {
	p.mu.Lock()
	if !proc.defied {
		proc.defied = true
		p.crew.undead = append(p.crew.undead, proc)
	}
	p.mu.Unlock()
	p.log.Error("a killed process does not die; its tasks stay leased until it does, and nothing else is taken: find out what it waits for "+
		"(cat /proc/PID/stack), or go on without it: stem plugin release "+p.cfg.Plugin, "pid", proc.child.id.Pid, "for", p.killPatience)
	p.giveBack(p.waiting.take(), stem.ClassDrain, "its plugin is quarantined")
}

// undying says which process keeps the pool quarantined; the caller holds the lock.
func (p *Pool) undying() string {
	return fmt.Sprintf("pid %d was killed and does not die; its tasks stay leased", p.crew.undead[0].child.id.Pid)
}

// yielded ends the quarantine for the sake of a process that is dead at last.
func (p *Pool) yielded(proc *process) {
	p.mu.Lock()
	was := len(p.crew.undead)
	p.crew.undead = slices.DeleteFunc(p.crew.undead, func(other *process) bool { return other == proc })
	now, defied := len(p.crew.undead), proc.defied
	p.mu.Unlock()
	if defied {
		p.log.Warn("the process that did not die is dead", "pid", proc.child.id.Pid)
	}
	if was > 0 && now == 0 {
		p.sink.Ready()
		nudge(p.crew.changed)
	}
}

// vacate frees the place of a process that is starting or had left; the caller holds the lock.
func (p *Pool) vacate(proc *process) {
	if proc.rising {
		proc.rising = false
		p.crew.starting--
	}
	if proc.dying {
		proc.dying = false
		p.crew.dying--
	}
}
