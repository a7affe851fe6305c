package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stemd/stem"
)

// post is one place in a pool: it has a process, or waits to start one. Its fields are guarded by the pool's lock.
type post struct {
	failures int    // starts that failed in a row
	deaths   int    // deaths in a row of processes that had done nothing
	what     string // why the last start failed
}

// keep starts a process, serves it until it dies and starts the next, until ctx ends.
func (p *Pool) keep(ctx context.Context, at *post) {
	for first := true; ctx.Err() == nil; first = false {
		proc, err := p.launch(ctx)
		if ctx.Err() != nil && err != nil {
			return
		}
		var wait time.Duration
		if err != nil {
			wait = p.failed(at, err)
		} else {
			p.started(at, proc, first)
			d := proc.serve(ctx)
			if ctx.Err() != nil {
				return
			}
			wait = p.died(at, proc, d)
		}
		if wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}

func (p *Pool) started(at *post, proc *process, first bool) {
	p.mu.Lock()
	at.failures, at.what = 0, ""
	if !first {
		p.restarts++
	}
	p.mu.Unlock()
	p.log.Debug("process ready", "pid", proc.child.id.Pid, "version", proc.manifest.Version)
	p.join(proc)
}

// failed notes a failed start and says how long to wait.
func (p *Pool) failed(at *post, err error) time.Duration {
	p.mu.Lock()
	at.failures++
	var start *startError
	if at.what = err.Error(); errors.As(err, &start) {
		at.what = start.brief(at.failures)
	}
	n, up := at.failures, len(p.ready)
	p.mu.Unlock()
	if up == 0 {
		p.discharge("no process is left to run it in") // somebody else may have one
	}
	wait := p.backoff(n)
	p.log.Error(err.Error()+fmt.Sprintf("; retry in %v", wait.Round(time.Millisecond)), "failures", n)
	return wait
}

// died notes the death of a process that had become ready and says how long to wait. One that had ended an attempt or lived long,
// or that we killed, is replaced at once; of others the first is.
func (p *Pool) died(at *post, proc *process, d death) time.Duration {
	proc.mu.Lock()
	worked := proc.settled > 0
	proc.mu.Unlock()
	n := 0
	p.mu.Lock()
	switch {
	case d.cause.kind == causeHard || d.cause.kind == causeSilent || d.cause.kind == causeCancel:
	case worked || d.at.Sub(proc.born) >= p.cfg.Restart.MaxDelay:
		at.deaths = 1
	default:
		n = at.deaths
		at.deaths++
	}
	p.mu.Unlock()
	var wait time.Duration
	if n > 0 {
		wait = p.backoff(n)
	}
	p.log.Warn("process died", "pid", d.pid, "how", d.exit, "why", d.cause.String(),
		"restart_in", wait.Round(time.Millisecond))
	if d.dump != "" {
		p.log.Info("its goroutines before the kill", "pid", d.pid, "stacks", len(d.dump))
	}
	return wait
}

// backoff doubles from Delay to MaxDelay and takes off up to a quarter at random.
func (p *Pool) backoff(n int) time.Duration {
	d := p.cfg.Restart.Delay
	for range min(n-1, 30) {
		d = min(2*d, p.cfg.Restart.MaxDelay)
	}
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}

// Stats is a snapshot for people.
func (p *Pool) Stats() stem.HeartbeatPool {
	p.mu.Lock()
	s := stem.HeartbeatPool{
		Name: p.cfg.Name, Plugin: p.cfg.Plugin, Version: p.manifest.Version,
		Up: len(p.ready), Size: len(p.posts), State: p.state(), Restarts: p.restarts,
	}
	ready := p.ready
	p.mu.Unlock()
	for _, proc := range ready {
		_, held := proc.room()
		s.Pids = append(s.Pids, proc.child.id.Pid)
		s.Inflight += held
	}
	s.Inflight += p.ward.size()
	return s
}

// state says "ok", "starting", "stopping", or why not; the caller holds the lock.
func (p *Pool) state() string {
	if p.stopping {
		return "stopping"
	}
	up := len(p.ready)
	if up == len(p.posts) {
		return "ok"
	}
	worst := &post{}
	for _, at := range p.posts {
		if at.failures > worst.failures {
			worst = at
		}
	}
	state := "starting"
	switch {
	case worst.failures >= p.cfg.Restart.Attempts:
		state = "failing: " + worst.what
	case worst.failures > 0:
		state = "starting: " + worst.what
	}
	if up > 0 {
		return fmt.Sprintf("%d of %d up, %s", up, len(p.posts), state)
	}
	return state
}

func (c cause) String() string {
	switch c.kind {
	case causeHard:
		return "hard limit"
	case causeSilent:
		return "heartbeat_timeout"
	case causeCancel, causeBroken, causeFrame:
		return c.why
	case causeStop:
		return "stop"
	}
	return "by itself"
}
