package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"

	"github.com/stemd/stem"
)

// mostDelay bounds the time between two probes of a quarantined pool, in longest waits between restarts.
const mostDelay = 20

// health is the record of a pool's starts and deaths. After Restart.Attempts failed starts in a row, or deaths in a row between
// which nothing was done (see verdict), the pool is quarantined once no process is left: it takes nothing, and one process at a time is tried,
// ever less often. A probe that becomes ready ends the first kind; one that ends an attempt or lives for MaxDelay the second.
type health struct {
	failures  int                 // starts that failed in a row
	barren    int                 // deaths in a row between which nothing was done and that were no task's doing
	deadly    map[string]struct{} // ids of tasks that caused the others; bounded
	what      string              // the last failure
	failed    time.Time
	notBefore time.Time // of the next start
	stamp     stamp     // of the program that failed
	told      bool      // that the pool is quarantined
}

// stamp tells one file at a path from another.
type stamp struct {
	size  int64
	mtime time.Time
}

// stampOf describes the program of a command; zero: there is none.
func stampOf(command string) stamp {
	path, err := exec.LookPath(command)
	if err != nil {
		return stamp{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

func (h *health) ill() bool { return h.failures > 0 || h.barren > 1 }

// ailing says that the pool must prove itself with one process.
func (h *health) ailing(r Restart) bool { return h.failures >= r.Attempts || h.deaths() >= r.Attempts }

// rose notes a start that worked.
func (h *health) rose() { h.failures = 0 }

// wait is the delay before the start that follows n bad ends.
func (p *Pool) wait(n int) time.Duration {
	if beyond := n - p.cfg.Restart.Attempts; beyond >= 0 {
		return p.cfg.Restart.MaxDelay * time.Duration(min(1<<min(beyond, 10), mostDelay))
	}
	return p.backoff(n)
}

// backoff doubles from Delay to MaxDelay and takes off up to a quarter at random.
func (p *Pool) backoff(n int) time.Duration {
	d := p.cfg.Restart.Delay
	for range min(n-1, 30) {
		d = min(2*d, p.cfg.Restart.MaxDelay)
	}
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}

// failed notes a failed start; proc may be nil. Those that were begun together count as one.
func (p *Pool) failed(proc *process, begun time.Time, err error) {
	now := time.Now()
	p.mu.Lock()
	if proc != nil {
		p.vacate(proc)
	} else {
		p.crew.starting--
	}
	h := &p.crew.health
	if begun.After(h.failed) {
		h.failures++
		h.failed = now
		h.stamp = stampOf(p.cfg.Command[0])
	}
	var start *startError
	if h.what = err.Error(); errors.As(err, &start) {
		h.what = start.brief(h.failures)
	}
	wait := p.wait(h.failures)
	if at := now.Add(wait); at.After(h.notBefore) {
		h.notBefore = at
	}
	n, up := h.failures, len(p.ready)
	p.short.Store(true)
	p.mu.Unlock()
	p.log.Error(err.Error()+fmt.Sprintf("; retry in %v", wait.Round(time.Millisecond)), "failures", n)
	if up == 0 {
		p.sendAway("its plugin does not start")
	}
	p.sayQuarantined()
	nudge(p.crew.changed)
}

// died notes the death of a process that had become ready. One that had ended an attempt or lived long, or that we or a task killed,
// is replaced at once; of others the first is.
func (p *Pool) died(proc *process, d death) {
	now := time.Now()
	proc.mu.Lock()
	worked, planned := proc.settled > 0, proc.retired
	proc.mu.Unlock()
	p.mu.Lock()
	h := &p.crew.health
	useful := p.useful.Swap(false)
	v := innocent
	switch {
	case planned:
	case d.cause.kind == causeHard || d.cause.kind == causeSilent || d.cause.kind == causeCancel || d.cause.kind == causeMemory:
	case worked || useful || d.at.Sub(proc.took) >= p.cfg.Restart.MaxDelay:
		v = proved
	case d.doubt:
	case len(d.by) > 0:
		v = tasksDoing
	default:
		v = unexplained
	}
	n := h.judge(v, d.by, p.cfg.Restart)
	if v == unexplained || v == tasksDoing {
		h.stamp = stampOf(p.cfg.Command[0])
		h.what = fmt.Sprintf("its processes die (%d times): %s", h.barren, d.last(d.exit))
		if v == tasksDoing {
			h.what = fmt.Sprintf("each task kills its process (%d of them): %s", len(h.deadly), d.last(d.exit))
		}
	}
	var wait time.Duration
	if n > 0 {
		wait = p.wait(n)
		h.notBefore = now.Add(wait)
	}
	if !planned {
		p.crew.owed++
	}
	p.vacate(proc)
	p.mu.Unlock()
	if planned {
		p.log.Debug("process ended", "pid", d.pid, "how", d.exit)
	} else {
		p.log.Warn("process died", "pid", d.pid, "how", d.exit, "why", d.cause.String(), "restart_in", wait.Round(time.Millisecond))
	}
	if d.dump != "" {
		p.log.Info("its goroutines before the kill", "pid", d.pid, "stacks", len(d.dump))
	}
	p.sayQuarantined()
	nudge(p.crew.changed)
}

// heal closes the record of deaths when a process has proved itself, and probes at once when there is a new build; the caller
// holds the lock.
func (p *Pool) heal(now time.Time) {
	h := &p.crew.health
	if p.useful.Load() {
		h.prove()
	}
	for _, proc := range p.ready {
		if now.Sub(proc.took) >= p.cfg.Restart.MaxDelay {
			h.prove()
		}
	}
	h.told = h.told && h.ailing(p.cfg.Restart)
	if p.barred() && now.Before(h.notBefore) {
		if b := stampOf(p.cfg.Command[0]); b != h.stamp && b != (stamp{}) {
			p.log.Info("a new build is there: trying it")
			p.pardon(now)
		}
	}
}

// pardon lets the next probe begin now and their delays grow anew; the caller holds the lock.
func (p *Pool) pardon(now time.Time) {
	h := &p.crew.health
	h.failures, h.barren = min(h.failures, p.cfg.Restart.Attempts), min(h.barren, max(p.cfg.Restart.Attempts-len(h.deadly)/tasksWeight, 0))
	h.notBefore, h.stamp = now, stampOf(p.cfg.Command[0])
}

// Release has a quarantined pool try a process now. Other pools are left alone. A process that does not die is given up, also one
// that never became ready: its attempts stay with it, and the pool goes on without it.
func (p *Pool) Release() {
	p.mu.Lock()
	quarantined := p.quarantined()
	if quarantined {
		p.pardon(time.Now())
		for _, proc := range p.crew.undead {
			p.vacate(proc)
		}
		p.crew.undead = nil
	}
	p.mu.Unlock()
	if quarantined {
		p.log.Info("released by hand: trying one process")
		p.sink.Ready()
		nudge(p.crew.changed)
	}
}

// Quarantined says whether the pool takes nothing because its plugin does not start or does nothing but die, or because one of its
// processes was killed and does not die.
func (p *Pool) Quarantined() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.quarantined()
}

func (p *Pool) quarantined() bool { return len(p.crew.undead) > 0 || p.barred() }

// barred is the quarantine for the record of starts and deaths.
func (p *Pool) barred() bool { return len(p.ready) == 0 && p.crew.health.ailing(p.cfg.Restart) }

// sayQuarantined logs the beginning of a quarantine, once until the pool has proved itself.
func (p *Pool) sayQuarantined() {
	p.mu.Lock()
	begins := p.barred() && !p.crew.health.told
	p.crew.health.told = p.crew.health.told || begins
	state := p.state()
	p.mu.Unlock()
	if !begins {
		return
	}
	// Suspects stay: the next process runs one of them, alone, which may end the quarantine.
	p.giveBack(p.waiting.take(), stem.ClassDrain, "its plugin is quarantined")
	p.log.Error("quarantined: other plugins go on, this one's queues are not claimed; it is tried again with one process, at once after "+
		"a new build or: stem plugin release "+p.cfg.Plugin, "state", state)
}
