package host

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

const (
	// linger is how long a process whose session has ended may take to exit by itself: one that crashed is already on its way,
	// and killing it would hide how it died.
	linger = time.Second
	// killPatience is when a kill that has no effect becomes an alarm, and the pool is quarantined.
	killPatience = time.Minute
	// lastFrames is how long frames of a dead process are awaited: they are in the socket already, or a grandchild holds it.
	lastFrames = 250 * time.Millisecond
)

// serve lets a ready process work until it is dead, and reports the ends of all it held. When ctx ends it drains the process:
// cancel and recall, wait for Config.Grace, kill. It returns how the process died.
func (p *process) serve(ctx context.Context) death {
	p.notePeak() // one that dies soon may leave no other figure
	drained := false
	select {
	case <-p.child.dead:
	case <-p.ended:
	case <-ctx.Done():
		drained = true
		p.beginDrain()
		grace := time.NewTimer(p.pool.cfg.Grace)
		defer grace.Stop()
		select {
		case <-p.child.dead:
		case <-p.ended:
		case <-grace.C:
			p.kill(cause{kind: causeStop})
		}
	}
	p.awaitDeath(drained)
	p.closeSession()
	d := p.inquest(drained)
	lost := p.takeAll()
	p.pool.ward.recall(d, lost)
	outcomes, suspects := blame(d, lost)
	if len(suspects) > 0 {
		p.pool.log.Warn("process died with several tasks running: each runs once more, alone, to find out which it was",
			"pid", d.pid, "how", d.exit, "tasks", len(suspects))
		p.pool.suspect(suspects)
	}
	d.doubt, d.by = len(suspects) > 0, d.begun(lost)
	p.testify(d, lost, outcomes)
	if len(outcomes) > 0 {
		p.pool.sink.Done(outcomes)
	}
	p.clean()
	return d
}

// awaitDeath returns when the process is dead, killing it if it outlives its session. However long that takes, what the process
// holds is not reported before: it may be running still.
func (p *process) awaitDeath(drained bool) {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.pool.leave(p)
	select {
	case <-p.child.dead:
		return
	case <-time.After(linger):
	}
	p.mu.Lock()
	killed := p.cause.kind != causeNone
	p.mu.Unlock()
	if !killed {
		why := cause{kind: causeStop}
		if !drained {
			why = cause{kind: causeBroken, why: p.err.Error()}
		}
		p.kill(why)
	}
	p.awaitKilled()
}

// awaitKilled returns when a process that was killed is dead, and raises the alarm while it is not.
func (p *process) awaitKilled() {
	for {
		select {
		case <-p.child.dead:
			p.pool.yielded(p)
			return
		case <-time.After(p.pool.killPatience):
			p.pool.defied(p)
		}
	}
}

// closeSession takes in the frames that had reached us and ends the streams and their goroutines.
func (p *process) closeSession() {
	select {
	case <-p.ended:
	case <-time.After(lastFrames):
	}
	p.cancel()
	p.parts.Wait()
}

// inquest gathers the facts of a death.
func (p *process) inquest(drained bool) death {
	c := p.child
	d := death{
		pid: c.id.Pid, exit: c.exit(), signal: c.signal(), words: c.out.tail.words(), dump: c.out.dump.text(), at: c.died,
		drained: drained, entries: p.entries(),
	}
	p.mu.Lock()
	if c.killedByUs() || drained || p.cause.kind == causeFrame {
		d.cause = p.cause // else it died before the kill, of something else
	}
	p.mu.Unlock()
	d.oom = d.cause.kind == causeMemory
	if d.cause.kind == causeNone && d.signal == syscall.SIGKILL {
		if p.group != nil {
			d.oom = p.group.ooms() > 0
		} else {
			d.oom = oomKills() > p.ooms
		}
	}
	return d
}

// takeAll empties the process's hands.
func (p *process) takeAll() []*held {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := make([]*held, 0, len(p.held))
	for _, h := range p.held {
		lost = append(lost, h)
	}
	clear(p.held)
	p.paces = [paces]int{}
	return lost
}

// abandon ends a process that did not become ready.
func (p *process) abandon() {
	p.child.kill()
	if p.child.started() {
		p.awaitKilled()
	}
	if p.cancel != nil {
		p.cancel()
		p.parts.Wait()
	}
	p.clean()
}

// clean removes what is left of a dead process. go-plugin's Kill only tidies its own goroutines here: there is nobody to kill.
func (p *process) clean() {
	p.client.Kill()
	p.regMu.Lock()
	if p.register != nil {
		_ = p.register.Close()
		p.register = nil
	}
	p.regMu.Unlock()
	err := os.RemoveAll(p.dir)
	if p.child.started() {
		err = errors.Join(err, p.pool.dir.forget(p.child.id))
	}
	if p.group != nil {
		err = errors.Join(err, p.group.close())
	}
	if err != nil {
		p.pool.log.Warn("the private directory of a process can not be tidied", "pid", p.child.id.Pid, "error", err)
	}
}
