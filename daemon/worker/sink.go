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
	for _, o := range outcomes {
		a := p.w.inflight.get(o.Attempt)
		if a == nil {
			continue
		}
		p.w.inflight.mu.Lock()
		repeated, lost, stopping, revoked := a.over, a.lost, a.stopping, a.revoked
		a.over = true
		p.w.inflight.mu.Unlock()
		if repeated {
			p.w.log.Error("plugin reported the end of an attempt twice; the second is ignored", "task", a.delivery.ID, "pool", p.Name)
			continue
		}
		if lost {
			p.w.inflight.remove(a)
			continue
		}
		s := decide(decision{
			delivery: a.delivery, header: a.header, effective: a.effective, outcome: o, worker: p.w.cfg.Node, now: now,
			ttl: p.w.cfg.ResultTTL, maxResult: p.w.cfg.MaxResult, stopping: stopping, revoked: revoked,
		})
		if s.Kind == stem.Done && len(o.Then) > 0 && o.Kind == plugin.Success {
			var err error
			if s.Then, err = p.w.children(a, o.Then); err != nil {
				o.Kind, o.Error = plugin.Failure, &stem.TaskError{Class: stem.ClassError, Type: "InvalidChild", Message: err.Error(), Permanent: true}
				s = decide(decision{
					delivery: a.delivery, header: a.header, effective: a.effective, outcome: o, worker: p.w.cfg.Node, now: now,
					ttl: p.w.cfg.ResultTTL, maxResult: p.w.cfg.MaxResult,
				})
			}
		}
		p.w.count(a, s)
		p.w.settler.add(s, func(err error) {
			p.w.inflight.remove(a)
			if err != nil {
				p.w.unsettled(a.delivery, s.Kind, err)
			}
		})
	}
	p.signal()
}

// Ready learns the manifest the first time and wakes the claim loop.
func (p *pool) Ready() {
	if !p.known.Swap(true) {
		m := p.runner.Manifest()
		p.weights = newWeights(p.w.homes.announce(p.Pool, m))
		close(p.ready)
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
		a.lease = max(a.lease, progress.ExtendLease)
	}
	if progress.Percent != 0 || len(progress.Data) > 0 {
		a.progress = &progress
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
	closed := a.over || a.lost
	p.w.inflight.mu.Unlock()
	if closed {
		return nil, errors.New("this attempt has ended: it can not enqueue")
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
