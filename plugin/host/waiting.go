package host

import (
	"slices"
	"sync"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// waiting holds attempts that were taken while a pool that may be empty has no process: its first start is for them. Safe for
// concurrent use.
type waiting struct {
	mu       sync.Mutex
	attempts []plugin.Attempt
}

func (w *waiting) size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.attempts)
}

func (w *waiting) take() []plugin.Attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.attempts
	w.attempts = nil
	return out
}

// vacancy is what an empty pool takes before it has a process: as much as one runs at once. Zero in pools that are never empty,
// and in those whose plugin does not start.
func (p *Pool) vacancy() int {
	p.mu.Lock()
	may := p.rules.Min == 0 && len(p.ready) == 0 && !p.crew.health.ill() && len(p.crew.undead) == 0 && !p.stopping && p.manifest.Name != ""
	p.mu.Unlock()
	if !may {
		return 0
	}
	return max(p.cfg.PerProcess-p.waiting.size(), 0)
}

// rouse takes as many attempts as the first process runs and returns the rest.
func (p *Pool) rouse(attempts []plugin.Attempt) (rest []plugin.Attempt) {
	n := min(p.vacancy(), len(attempts))
	if n == 0 {
		return attempts
	}
	p.waiting.mu.Lock()
	p.waiting.attempts = append(p.waiting.attempts, attempts[:n]...)
	p.waiting.mu.Unlock()
	if len(p.processes()) > 0 { // one came meanwhile
		p.Start(p.waiting.take())
	}
	nudge(p.crew.changed)
	return attempts[n:]
}

// sendAway gives back what waits for a process, suspects too: somebody else may have one.
func (p *Pool) sendAway(why string) {
	p.discharge(why)
	p.giveBack(p.waiting.take(), stem.ClassDrain, why)
}

// giveBack reports attempts that were never handed to a process.
func (p *Pool) giveBack(attempts []plugin.Attempt, class stem.Class, why string) {
	if len(attempts) == 0 {
		return
	}
	outcomes := make([]plugin.Outcome, 0, len(attempts))
	for _, a := range attempts {
		outcomes = append(outcomes, notRun(&held{Attempt: a}, class, why, 0))
	}
	p.sink.Done(outcomes)
}

// cancelWaiting ends an attempt that waits for a process.
func (p *Pool) cancelWaiting(id string, epoch stem.Epoch, why string) bool {
	w := &p.waiting
	w.mu.Lock()
	i := slices.IndexFunc(w.attempts, func(a plugin.Attempt) bool { return a.ID == id && a.Epoch == epoch })
	var found []plugin.Attempt
	if i >= 0 {
		found = []plugin.Attempt{w.attempts[i]}
		w.attempts = slices.Delete(w.attempts, i, i+1)
	}
	w.mu.Unlock()
	p.giveBack(found, classOf(why), why+" before a process was there")
	return i >= 0
}

// classOf is how an attempt ended that was cancelled before it ran.
func classOf(why string) stem.Class {
	switch why {
	case whyShutdown:
		return stem.ClassDrain
	case whyLostLease:
		return stem.ClassLostLease
	}
	return stem.ClassCancelled
}
