package worker

import (
	"context"
	"errors"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// A pool is the Sink of its runner.
var _ plugin.Sink = (*pool)(nil)

// Done turns outcomes into settlements. The claim is held, and its lease renewed, until the settlement is written.
func (p *pool) Done(outcomes []plugin.Outcome) {
	now := time.Now()
	for i := range outcomes {
		o := &outcomes[i]
		a := p.w.inflight.get(o.Attempt)
		if a == nil {
			continue
		}
		p.w.inflight.mu.Lock()
		repeated, lost, stopping, early, revoked := a.over, a.lost, a.stopping, a.early, a.revoked
		a.over = true
		p.w.inflight.mu.Unlock()
		if repeated {
			p.w.log.Error("plugin reported the end of an attempt twice; the second is ignored", "task", a.delivery.ID, "pool", p.Name)
			continue
		}
		if lost {
			p.w.classes.add(stem.ClassLostLease)
			p.w.inflight.remove(a)
			continue
		}
		var then []stem.Message
		if len(o.Then) > 0 && o.Kind == plugin.Success {
			var err error
			if then, err = p.w.children(a, o.Then); err != nil {
				o.Kind = plugin.Failure
				o.Error = &stem.TaskError{Class: stem.ClassError, Type: "InvalidChild", Message: err.Error(), Permanent: true}
			}
		}
		d := p.w.decision(a, now)
		d.outcome, d.stopping, d.early, d.revoked = *o, stopping, early, revoked
		s := decide(d)
		if s.Kind == stem.Done {
			s.Then = then
		}
		p.w.testify(a, o, &s)
		p.w.settle(a, o, s)
	}
	p.signal()
}

// Ready takes note of a manifest that is new and wakes the claim loop.
func (p *pool) Ready() {
	if p.announce() {
		p.w.announced()
	}
	p.signal()
}

func (p *pool) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Progress keeps the latest; it is saved with the next beat of the progress loop.
func (p *pool) Progress(pa plugin.Attempt, progress plugin.Progress) {
	a := p.w.inflight.get(pa)
	if a == nil {
		return
	}
	p.w.inflight.mu.Lock()
	defer p.w.inflight.mu.Unlock()
	if progress.ExtendLease > 0 {
		p.w.inflight.prolong(a, progress.ExtendLease, time.Now())
	}
	if progress.Percent != 0 || len(progress.Data) > 0 {
		a.progress, a.reported = &progress, &progress
	}
}

// SoftLimit logs, counts and tells of an attempt that goes on beyond its soft limit.
func (p *pool) SoftLimit(a plugin.Attempt) {
	p.w.counters.softLimits.Add(1)
	p.w.log.Warn("soft limit passed: the handler was told to stop", "task", a.ID, "name", a.Name, "attempt", a.Attempt+1, "soft_limit", a.Soft,
		"hard_limit", a.Hard)
	if p.w.cfg.SoftLimit != nil {
		p.w.cfg.SoftLimit(Late{Pool: p.Name, ID: a.ID, Name: a.Name, Queue: a.Queue, Attempt: a.Attempt, Soft: a.Soft, Hard: a.Hard})
	}
}

// Log passes a handler's line on to the daemon's log.
func (p *pool) Log(a plugin.Attempt, r plugin.LogRecord) {
	args := []any{"pool", p.Name, "pid", r.Pid}
	if a.ID != "" {
		args = append(args, "task", a.ID, "name", a.Name)
	}
	if len(r.Attrs) > 0 && string(r.Attrs) != "{}" {
		args = append(args, "attrs", string(r.Attrs))
	}
	p.w.log.Log(levelOf(r.Level), r.Message, args...)
}

// Enqueue publishes children of a running attempt.
func (p *pool) Enqueue(ctx context.Context, pa plugin.Attempt, tasks []plugin.NewTask) ([]string, error) {
	a := p.w.inflight.get(pa)
	if a == nil {
		return nil, errors.New("this attempt has ended: it can not enqueue")
	}
	p.w.inflight.mu.Lock()
	closed, revoked := a.over || a.lost, a.revoked
	p.w.inflight.mu.Unlock()
	if closed {
		return nil, errors.New("this attempt has ended: it can not enqueue")
	}
	if revoked != nil && revoked.Terminate {
		return nil, revokedError(revoked)
	}
	msgs, err := p.w.children(a, tasks)
	if err != nil {
		return nil, err
	}
	published, err := p.w.store.Broker.Publish(ctx, msgs...)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(published))
	for i, pub := range published {
		ids[i] = pub.ID
		err = errors.Join(err, pub.Err)
	}
	return ids, err
}
