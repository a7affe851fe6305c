package host

import (
	"fmt"
	"time"

	"github.com/stemd/stem"
)

// Stats is a snapshot for people.
func (p *Pool) Stats() stem.HeartbeatPool {
	p.mu.Lock()
	s := stem.HeartbeatPool{
		Name: p.cfg.Name, Plugin: p.cfg.Plugin, Version: p.manifest.Version,
		Size: p.crew.scale.Size, Spares: len(p.crew.spares), State: p.state(), Restarts: p.crew.restarts,
		Quarantined: p.quarantined(), Limits: p.mechanisms,
	}
	ready := p.ready
	p.mu.Unlock()
	now := time.Now()
	p.ward.mu.Lock() // a suspect on its way to a process is counted once
	defer p.ward.mu.Unlock()
	for _, proc := range ready {
		_, held := proc.room()
		s.Pids = append(s.Pids, proc.child.id.Pid)
		s.Inflight += held
		if proc.fitness(now) != retired {
			s.Up++
		}
	}
	s.Inflight += len(p.ward.waiting) + p.waiting.size()
	return s
}

// state says "ok", "idle", "starting", "stopping", or why not; the caller holds the lock.
func (p *Pool) state() string {
	h := &p.crew.health
	up := len(p.ready)
	switch {
	case p.stopping:
		return "stopping"
	case len(p.crew.undead) > 0:
		return fmt.Sprintf("quarantined: %s; until it is dead, or: stem plugin release %s", p.undying(), p.cfg.Plugin)
	case p.quarantined():
		return fmt.Sprintf("quarantined: %s; next try at %s, or now: stem plugin release %s",
			h.what, h.notBefore.Format(time.TimeOnly), p.cfg.Plugin)
	case p.crew.scale.Size == 0 && p.manifest.Name != "":
		return stem.PoolIdle
	case up >= p.crew.scale.Size && up > 0 && h.failures == 0:
		return "ok"
	}
	state := "starting"
	switch {
	case h.failures >= p.cfg.Restart.Attempts:
		state = "failing: " + h.what
	case h.failures > 0:
		state = "starting: " + h.what
	}
	if up > 0 {
		return fmt.Sprintf("%d of %d up, %s", up, p.crew.scale.Size, state)
	}
	return state
}

func (c cause) String() string {
	switch c.kind {
	case causeHard:
		return "hard limit"
	case causeSilent:
		return "heartbeat_timeout"
	case causeCancel, causeBroken, causeFrame, causeMemory:
		return c.why
	case causeStop:
		return "stop"
	}
	return "by itself"
}
