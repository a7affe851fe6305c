package host

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/register"
)

// maxReturned bounds how many attempts are remembered that returned without their outcome arriving.
const maxReturned = 4096

// ward is where suspects wait: attempts that ran together in a process when it died, of which nobody can tell which one killed
// it. They have not ended: their leases go on. Each runs once more with a process to itself, and then whoever dies in one is to
// blame. At most half of the pool's processes are kept for them at a time. Safe for concurrent use.
type ward struct {
	any atomic.Bool // somebody waits, or a process is kept

	mu       sync.Mutex
	waiting  []plugin.Attempt
	returned map[string]struct{} // ids that had returned when their process died unasked
}

func (w *ward) size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// recall marks those of a dead process's attempts that have returned without an answer once before, and remembers the others.
func (w *ward) recall(d death, lost []*held) {
	if !d.cause.ownDoing() || d.asked() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range lost {
		if h.alone || d.state(h) != register.Done {
			continue
		}
		if _, h.again = w.returned[h.ID]; h.again {
			delete(w.returned, h.ID)
			continue
		}
		if w.returned == nil {
			w.returned = map[string]struct{}{}
		}
		for id := range w.returned {
			if len(w.returned) < maxReturned {
				break
			}
			delete(w.returned, id)
		}
		w.returned[h.ID] = struct{}{}
	}
}

// suspect takes attempts in, in the order in which they were handed over.
func (p *Pool) suspect(hs []*held) {
	w := &p.ward
	w.mu.Lock()
	for _, h := range hs {
		w.waiting = append(w.waiting, h.Attempt)
	}
	w.any.Store(true)
	w.mu.Unlock()
	p.isolate()
}

// isolate gives each process that is kept for suspects and has ended the last one the next, keeps further ones while suspects
// wait, and returns them to common use when none does.
func (p *Pool) isolate() {
	w := &p.ward
	if !w.any.Load() {
		return
	}
	w.mu.Lock()
	ready := p.processes()
	kept, freed := 0, false
	for _, proc := range ready {
		if !proc.isAlone() {
			continue
		}
		if len(w.waiting) == 0 {
			if proc.keepAlone(false) {
				freed = true
				continue
			}
		} else if proc.deliverAlone(w.waiting[0]) {
			w.waiting = w.waiting[1:]
		}
		kept++
	}
	for kept < (len(ready)+1)/2 && len(w.waiting) > 0 {
		proc := idlest(ready)
		if proc == nil {
			break
		}
		kept++
		proc.keepAlone(true)
		if proc.deliverAlone(w.waiting[0]) {
			w.waiting = w.waiting[1:]
		} else {
			proc.recallUnstarted() // it is emptied first
		}
	}
	w.any.Store(kept+len(w.waiting) > 0)
	w.mu.Unlock()
	if freed {
		p.sink.Ready()
	}
}

// idlest is the process in common use that holds the least; nil: there is none.
func idlest(ready []*process) (best *process) {
	least := 0
	for _, proc := range ready {
		if _, held := proc.room(); !proc.isAlone() && !proc.isRetired() && (best == nil || held < least) {
			best, least = proc, held
		}
	}
	return best
}

// discharge gives back every suspect that waits.
func (p *Pool) discharge(why string) {
	w := &p.ward
	w.mu.Lock()
	waiting := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	outcomes := make([]plugin.Outcome, 0, len(waiting))
	for _, a := range waiting {
		outcomes = append(outcomes, notRun(&held{Attempt: a}, stem.ClassDrain, why, 0))
	}
	p.sink.Done(outcomes)
	p.isolate()
}

// cancelSuspect ends a suspect that waits.
func (p *Pool) cancelSuspect(id string, epoch stem.Epoch, why string) bool {
	w := &p.ward
	if !w.any.Load() {
		return false
	}
	w.mu.Lock()
	i := slices.IndexFunc(w.waiting, func(a plugin.Attempt) bool { return a.ID == id && a.Epoch == epoch })
	if i < 0 {
		w.mu.Unlock()
		return false
	}
	h := &held{Attempt: w.waiting[i]}
	w.waiting = slices.Delete(w.waiting, i, i+1)
	w.mu.Unlock()
	p.sink.Done([]plugin.Outcome{notRun(h, classOf(why), why+" before it ran again", 0)})
	p.isolate()
	return true
}

func (p *process) isAlone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alone
}

// keepAlone keeps the process for suspects, or returns it to common use, which is refused while it holds one.
func (p *process) keepAlone(alone bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !alone && len(p.held) > 0 {
		return false
	}
	p.alone = alone
	return true
}

// deliverAlone hands a suspect to a process that is kept for them, if it is empty.
func (p *process) deliverAlone(a plugin.Attempt) bool {
	p.mu.Lock()
	if !p.alone || p.retired || p.closed || p.out.drain || len(p.held) > 0 {
		p.mu.Unlock()
		return false
	}
	early := p.take(&held{Attempt: a, sent: time.Now(), alone: true})
	p.mu.Unlock()
	nudge(p.wake)
	if early {
		nudge(p.clock)
	}
	return true
}
