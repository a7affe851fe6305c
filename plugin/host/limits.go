package host

import (
	"context"
	"time"

	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	"github.com/stemd/stem/plugin/register"
)

const (
	// aheadPatience is how long an attempt sent ahead may wait while every slot is busy with a handler running as long.
	aheadPatience = 25 * time.Millisecond
	// startPatience is how long beyond its hard limit an attempt may wait for its handler to start: the process is stuck.
	startPatience = 30 * time.Second
)

// Why an attempt is cancelled, as told to the handler.
const (
	whySoftLimit = "soft-limit"
	whyCancelled = "cancelled"
	whyShutdown  = "shutdown"
	whyLostLease = "lost-lease"
)

// firstDue is the earliest time at which anything may have to be done about the attempt. Limits count from the start of the
// handler, which is not before the sending. ahead is the aheadPatience of the pool.
func (h *held) firstDue(ahead time.Duration) time.Time {
	var due time.Time
	for _, limit := range []time.Duration{h.Soft, h.Hard, h.Heartbeat} {
		if limit > 0 {
			due = earlier(due, h.sent.Add(limit))
		}
	}
	if h.wait {
		due = earlier(due, h.sent.Add(ahead))
	}
	return due
}

// startOf is when an attempt's handler started, as far as is known.
func startOf(h *held, entries map[uint64]register.Entry) time.Time {
	if e, ok := entries[h.seq]; ok {
		return e.Started
	}
	return h.sent
}

// earlier is the earlier of two times, of which zero means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// watchLimits is the one timer of a process. It sleeps until the earliest due time; attempts that ended meanwhile cost nothing.
func (p *process) watchLimits(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		next := p.nextDue
		p.mu.Unlock()
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-p.clock:
		case <-timer.C:
			p.enforce(time.Now())
		}
	}
}

// enforce acts on every attempt that is due.
func (p *process) enforce(now time.Time) {
	entries := p.entries()
	p.mu.Lock()
	var hard *held
	busy := 0
	for _, e := range entries {
		if e.State == register.Running && now.Sub(e.Started) > p.pool.aheadPatience {
			busy++
		}
	}
	stuck := busy >= p.slots
	p.nextDue = time.Time{}
	told := len(p.out.cancel) + len(p.out.recall)
	var late []plugin.Attempt // over their soft limits since now
	for _, h := range p.held {
		if h.due.IsZero() {
			continue
		}
		if !h.due.After(now) {
			knew := h.soft
			h.due = p.look(h, entries, stuck, now)
			if h.soft && !knew {
				late = append(late, h.Attempt)
			}
			if h.due.IsZero() {
				hard = h
				continue
			}
		}
		p.nextDue = earlier(p.nextDue, h.due)
	}
	if stuck {
		p.markSlow(entries)
	}
	told = len(p.out.cancel) + len(p.out.recall) - told
	p.mu.Unlock()
	if told > 0 {
		nudge(p.wake)
	}
	for _, a := range late {
		p.pool.sink.SoftLimit(a)
	}
	if hard != nil {
		why := cause{kind: causeHard, seq: hard.seq}
		if hard.silent(startOf(hard, entries), now) {
			why.kind = causeSilent
		}
		p.kill(why)
	}
}

// look does what is due about one attempt and returns when to look again; zero: it must be killed now. The caller holds the lock.
func (p *process) look(h *held, entries map[uint64]register.Entry, stuck bool, now time.Time) time.Time {
	started := h.sent // without a register nothing is sent ahead: sent is started
	if entries != nil {
		e, ok := entries[h.seq]
		switch {
		case ok && e.State == register.Done:
			return now.Add(time.Second) // its outcome is on the way
		case ok:
			started = e.Started
		case h.Hard > 0 && now.Sub(h.sent) > h.Hard+startPatience:
			return time.Time{}
		default:
			if h.wait && stuck {
				p.out.recall = append(p.out.recall, h.seq)
			}
			return h.notStarted(now, p.pool.aheadPatience)
		}
	}
	var next time.Time
	if h.Soft > 0 && !h.soft {
		if at := started.Add(h.Soft); at.After(now) {
			next = at
		} else {
			h.soft = true
			p.out.cancel = append(p.out.cancel, &pluginv1.Cancel{Seq: h.seq, Why: whySoftLimit})
		}
	}
	if h.Hard > 0 {
		at := started.Add(h.Hard)
		if !at.After(now) {
			return time.Time{}
		}
		next = earlier(next, at)
	}
	if h.Heartbeat > 0 {
		at := h.lastSign(started).Add(h.Heartbeat)
		if !at.After(now) {
			return time.Time{}
		}
		next = earlier(next, at)
	}
	if next.IsZero() { // nothing more to come
		next = now.Add(24 * time.Hour)
	}
	return next
}

// lastSign is when the handler, started then, gave its last sign of life.
func (h *held) lastSign(started time.Time) time.Time {
	if h.alive.After(started) {
		return h.alive
	}
	return started
}

// silent says whether what is wrong with an attempt that must be killed is its silence and not its hard limit.
func (h *held) silent(started, now time.Time) bool {
	return h.Heartbeat > 0 && (h.Hard <= 0 || now.Sub(started) < h.Hard) && now.Sub(h.lastSign(started)) >= h.Heartbeat
}

// notStarted is when to look again at an attempt whose handler has not started by now.
func (h *held) notStarted(now time.Time, ahead time.Duration) time.Time {
	next := now.Add(24 * time.Hour)
	for _, limit := range []time.Duration{h.Soft, h.Hard, h.Heartbeat} {
		if limit > 0 {
			next = earlier(next, now.Add(limit))
		}
	}
	if h.wait {
		next = earlier(next, now.Add(ahead))
	}
	return next
}

// markSlow counts what runs long as slow whatever its name says, so that nothing more is sent ahead of it.
func (p *process) markSlow(entries map[uint64]register.Entry) {
	for seq, e := range entries {
		if h, ok := p.held[seq]; ok && e.State == register.Running {
			p.paces[h.pace]--
			h.pace = slow
			p.paces[slow]++
		}
	}
}
