package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

const (
	// claimWait is how long a claim waits in the store for work. Queues that are new to a plugin are claimed from no later.
	claimWait = 3 * time.Second
	// fullPause is how long is waited for room, should nobody tell of it.
	fullPause = time.Second
)

// partPause is how long is waited with another claim at least when a part of the store can not be reached.
const partPause = 100 * time.Millisecond

// partQuiet is how long no claim must have missed a part before it counts as reached again.
const partQuiet = 2 * claimWait

var errStillDown = errors.New("the store still does not answer")

// claimLoop claims what the pool can take, and no more, until ctx ends. One round trip brings a batch; settling goes on beside
// it.
func (p *pool) claimLoop(ctx context.Context) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return
	}
	w, retry := p.w, newClaimBackoff()
	for ctx.Err() == nil {
		free := p.runner.Free()
		if free <= 0 || !w.mayDispatch() {
			pause(ctx, fullPause, p.wake)
			continue
		}
		weights, asked := p.weights.Load(), time.Now()
		ds, err := w.claim(ctx, stem.Claim{Queues: weights.plan(free), Max: free, Wait: claimWait})
		if retry.failed(ctx, err, time.Since(asked), p.wake) {
			continue
		}
		weights.took(ds)
		w.take(p, ds, asked)
	}
}

// mayDispatch says whether outcomes can be written: while they gather, nothing new is started.
func (w *Worker) mayDispatch() bool {
	return w.settler.waiting.Load() < maxOutcomes && !w.settleOutage.down()
}

// wakePools has every pool look again whether it may claim.
func (w *Worker) wakePools() {
	for _, p := range w.pools {
		p.signal()
	}
}

// claim asks the broker for work. After an outage our leases are renewed before anything else.
func (w *Worker) claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	if w.claimOutage.down() && !w.renew(ctx, true) {
		return nil, errStillDown
	}
	if w.unrenewed.some() {
		w.renew(ctx, false)
		if c.Queues = w.unrenewed.without(c.Queues); len(c.Queues) == 0 {
			return nil, fmt.Errorf("%w: leases could not be renewed there", stem.ErrUnreachable)
		}
	}
	c.Lease, c.Owner = w.cfg.Lease, w.cfg.owner()
	ds, err := w.store.Broker.Claim(ctx, c)
	if errors.Is(err, stem.ErrUnreachable) {
		if ctx.Err() == nil {
			w.claimOutage.over()
			w.unreached.Store(time.Now().UnixNano())
			w.emptyOutage.failed(err, "what lies there waits, all else goes on")
		}
		return nil, err
	}
	if err != nil {
		if ctx.Err() == nil {
			n, _ := w.inflight.running()
			w.claimOutage.failed(err, fmt.Sprintf("claims stopped, %d tasks go on", n))
		}
		return nil, err
	}
	w.claimOutage.over()
	if time.Since(time.Unix(0, w.unreached.Load())) > partQuiet && !w.unrenewed.some() { // claims of other pools may ask other parts
		w.emptyOutage.over()
	}
	w.lastClaim.Store(time.Now().UnixNano())
	w.counters.claimed.Add(uint64(len(ds)))
	return ds, nil
}

// take leads deliveries that were asked for at a time through the gates, starts those that pass and settles the others. p is nil
// for a sorting place.
func (w *Worker) take(p *pool, ds []stem.Delivery, asked time.Time) {
	now := time.Now()
	m := &moment{now: now, namespace: w.cfg.Namespace, homes: w.homes, revocations: w.revocations}
	batch := make([]attempt, len(ds))
	all := make([]*attempt, len(ds))
	stopped := make([]*verdict, len(ds))
	for i := range ds {
		a := &batch[i]
		all[i] = a
		a.delivery, a.pool, a.lease = ds[i], p, w.leaseOf(&ds[i])
		a.leasedUntil, a.safeUntil = now.Add(a.lease), asked.Add(a.lease)
		if stopped[i] = a.judge(m); stopped[i] != nil {
			a.over = true
		}
	}
	w.inflight.add(all)
	pass := make([]*attempt, 0, len(all))
	var early []*attempt
	for i, a := range all {
		switch {
		case stopped[i] != nil:
			w.settle(a, &plugin.Outcome{}, stopped[i].settlement(w.decision(a, now)))
		case a.effective.acksLate:
			pass = append(pass, a)
		default:
			early = append(early, a)
		}
	}
	w.start(p, w.secure(pass))
	w.ackEarly(p, w.secure(early))
}

// leaseOf is the lease of a delivery: the message's own wins.
func (w *Worker) leaseOf(d *stem.Delivery) time.Duration {
	if d.Lease > 0 {
		return d.Lease
	}
	return w.cfg.Lease
}

// start hands claims to the runner of their pool.
func (w *Worker) start(p *pool, as []*attempt) {
	if len(as) == 0 {
		return
	}
	attempts := make([]plugin.Attempt, len(as))
	for i, a := range as {
		d := &a.delivery
		attempts[i] = plugin.Attempt{
			ID: d.ID, Name: d.Name, Epoch: d.Receipt.Epoch, Attempt: d.State.Attempt, Queue: d.Queue,
			Header: d.Envelope.Header, Body: d.Envelope.Body, Soft: a.effective.soft, Hard: a.effective.hard,
			Heartbeat: a.effective.heartbeat,
		}
	}
	w.counters.started.Add(uint64(len(as)))
	if !w.store.Info.OneFile {
		w.sayRunning(as)
	}
	p.runner.Start(attempts)
	if w.revocations.any.Load() { // one may have come since the gate
		for i := range attempts {
			w.stopRevoked(attempts[i].ID)
		}
	}
}

// ackEarly acknowledges claims before they run and starts those whose acknowledgement is durable. One that could not be
// written was not started: it is given back, and if the store did write it, its lease runs out and it ends as lost.
func (w *Worker) ackEarly(p *pool, as []*attempt) {
	if len(as) == 0 {
		return
	}
	batch := make([]stem.Settlement, len(as))
	for i, a := range as {
		batch[i] = stem.Settlement{Receipt: a.delivery.Receipt, Kind: stem.AckEarly}
	}
	errs, err := w.store.Broker.Settle(w.settler.ctx, batch...)
	if err != nil {
		w.settleOutage.failed(err, "claims stopped")
	}
	pass := make([]*attempt, 0, len(as))
	for i, a := range as {
		acked := err == nil && errs[i] == nil
		w.inflight.mu.Lock()
		a.early, a.over = acked, !acked
		w.inflight.mu.Unlock()
		if acked {
			pass = append(pass, a)
			continue
		}
		d := w.decision(a, time.Now())
		w.settle(a, &plugin.Outcome{}, d.release())
	}
	w.start(p, pass)
}

// decision begins a decision about a claim.
func (w *Worker) decision(a *attempt, now time.Time) decision {
	return decision{
		delivery: a.delivery, header: a.header, effective: a.effective, worker: w.cfg.Node, now: now, ttl: w.cfg.ResultTTL,
		maxResult: w.cfg.MaxResult, oneFile: w.store.Info.OneFile, delay: stem.RetryPolicy.Delay,
	}
}

// settle writes a settlement; the claim is held until it is written. o is the zero Outcome where no attempt was made.
func (w *Worker) settle(a *attempt, o *plugin.Outcome, s stem.Settlement) {
	w.count(a, s)
	w.observe(a, o, &s)
	w.settler.add(s, func(err error) {
		w.inflight.remove(a)
		if err != nil {
			w.unsettled(a.delivery, s.Kind, err)
		}
	})
}
