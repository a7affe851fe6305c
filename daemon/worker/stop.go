package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/stemd/stem"
)

// Mode says how a worker stops. A stronger one escalates a weaker one that is under way.
type Mode int

const (
	// Warm claims nothing more, gives back what has not started and waits for what runs.
	Warm Mode = iota + 1
	// Soft also cancels what runs; what succeeds nevertheless counts, the rest is given back.
	Soft
	// Hard kills what runs and gives it back.
	Hard
)

func (m Mode) String() string { return [...]string{"", "warm", "soft", "hard"}[m] }

// killWait bounds how long a hard stop waits for processes to be confirmed dead. What is not given back by then is when its
// lease ends.
const killWait = 10 * time.Second

// Shutdown begins or escalates the stop; Run returns when it is done.
func (w *Worker) Shutdown(m Mode) {
	w.modeMu.Lock()
	defer w.modeMu.Unlock()
	if m <= w.mode {
		return
	}
	w.mode = m
	close(w.modeChanged)
	w.modeChanged = make(chan struct{})
}

func (w *Worker) currentMode() (Mode, <-chan struct{}) {
	w.modeMu.Lock()
	defer w.modeMu.Unlock()
	return w.mode, w.modeChanged
}

// drain ends what is in flight once claiming has stopped, at first as gently as asked, then harder as time or people say.
func (w *Worker) drain(ctx context.Context) {
	for _, p := range w.pools {
		p.runner.Recall()
	}
	begun := w.clockStop()
	for done := 0; ; {
		mode, changed := w.currentMode()
		if Mode(done) < mode {
			if mode >= Soft {
				w.stopRunning(mode == Hard)
			}
			n, _ := w.inflight.running()
			w.log.Info(fmt.Sprintf("%s stop: %d tasks run", mode, n))
			done = int(mode)
			begun.enter(mode)
		}
		select {
		case <-w.inflight.drained():
			return
		case <-changed:
		case <-begun.timer.C:
			if mode == Hard {
				n, _ := w.inflight.running()
				w.log.Error("processes are not confirmed dead; their tasks are given back when their leases end", "tasks", n)
				return
			}
			w.Shutdown(mode + 1)
		case <-ctx.Done():
			w.Shutdown(Hard)
			ctx = context.Background()
		}
	}
}

// stopClock says when a stop of one mode becomes one of the next.
type stopClock struct {
	timer *time.Timer
	cfg   Shutdown
}

func (w *Worker) clockStop() *stopClock {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &stopClock{t, w.cfg.Shutdown}
}

func (c *stopClock) enter(m Mode) {
	switch {
	case m == Warm && c.cfg.Warm < 0:
		c.timer.Stop()
	case m == Warm:
		c.timer.Reset(c.cfg.Warm)
	case m == Soft:
		c.timer.Reset(c.cfg.SoftGrace)
	default:
		c.timer.Reset(killWait)
	}
}

// stopRunning cancels every running attempt, or kills it. An end other than success then gives the task back.
func (w *Worker) stopRunning(force bool) {
	var running []*attempt
	w.inflight.each(func(a *attempt) {
		if !a.over {
			a.stopping = true
			running = append(running, a)
		}
	})
	for _, a := range running {
		a.pool.runner.Cancel(a.delivery.ID, a.delivery.Receipt.Epoch, "shutdown", force)
	}
}

// unsettled says what became of a settlement that was refused or not written.
func (w *Worker) unsettled(d stem.Delivery, k stem.Kind, err error) {
	switch {
	case isLeaseLost(err):
		w.leasesLost.Add(1)
		w.log.Debug("settlement came late: somebody else has the task, or the store does not know it any more", "task", d.ID, "name", d.Name)
	default:
		w.log.Error("settlement was not written; the task runs again when its lease ends", "task", d.ID, "name", d.Name, "kind", int(k), "error", err)
	}
}
