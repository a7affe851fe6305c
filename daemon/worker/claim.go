package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// claimWait is how long a claim waits in the store for work: the longest time until a stop or a change of queues is noticed
// where a claim can not be interrupted.
const claimWait = time.Second

// claimLoop claims what the pool can take, and no more, until ctx ends. One round trip brings a batch; settling goes on beside
// it.
func (p *pool) claimLoop(ctx context.Context) {
	w := p.w
	retry := newBackoff()
	var own *directory
	var shares *weights
	for ctx.Err() == nil {
		p.refresh()
		if d := w.directory.Load(); d != own {
			own, shares = d, newWeights(d.queues[p])
		}
		free := p.startAgain()
		if free <= 0 || len(shares.queues) == 0 || len(p.manifest.Tasks) == 0 || !w.mayDispatch() {
			pause(ctx, claimWait, p.wake)
			continue
		}
		ds, err := w.claim(ctx, stem.Claim{Queues: shares.plan(free), Max: free, Wait: claimWait})
		if err != nil {
			pause(ctx, retry.NextBackOff(), nil)
			continue
		}
		retry.Reset()
		shares.took(ds)
		w.take(p, ds)
	}
}

// mayDispatch says whether outcomes can be written: while they gather, nothing new is started.
func (w *Worker) mayDispatch() bool {
	_, outcomes := w.table.counts()
	return outcomes < maxOutcomes && !w.settleOutage.down()
}

// claim asks the broker for work. After an outage our leases are renewed before anything else.
func (w *Worker) claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	if w.claimOutage.down() && !w.renew(ctx, true) {
		return nil, fmt.Errorf("worker: claim: the store still does not answer")
	}
	c.Lease, c.Owner = w.cfg.Lease, w.cfg.owner()
	ds, err := w.store.Broker.Claim(ctx, c)
	if err != nil {
		if ctx.Err() == nil {
			attempts, _ := w.table.counts()
			w.claimOutage.failed(err, fmt.Sprintf("claims stopped, %d tasks go on", attempts))
		}
		return nil, err
	}
	w.claimOutage.over()
	w.lastClaim.Store(time.Now().UnixNano())
	w.counters.claimed.Add(uint64(len(ds)))
	return ds, nil
}

// take leads deliveries through the gates, starts those that pass and settles the others. p is nil for a sorting place.
func (w *Worker) take(p *pool, ds []stem.Delivery) {
	if len(ds) == 0 {
		return
	}
	now := time.Now()
	m := &moment{now: now, namespace: w.cfg.Namespace, directory: w.directory.Load(), revocations: w.revocations}
	c := w.circumstances(now)
	tasks := make([]task, len(ds))
	stopped := make([]*task, 0)
	pass := make([]*task, 0, len(ds))
	var early []*task
	for i := range ds {
		t := &tasks[i]
		t.delivery, t.pool = ds[i], p
		t.lease = w.cfg.Lease
		if ds[i].Lease > 0 {
			t.lease = ds[i].Lease
		}
		t.renewAt = now.Add(t.lease / 3)
		switch v := t.judge(m); {
		case v != nil:
			t.phase, t.settlement = settling, v.carryOut(t, &c)
			stopped = append(stopped, t)
		case t.acksLate():
			pass = append(pass, t)
		default:
			early = append(early, t)
		}
	}
	w.table.add(tasks)
	for _, t := range stopped {
		w.settle(t, t.settlement)
	}
	if len(pass) > 0 {
		w.start(p, pass)
	}
	if len(early) > 0 {
		w.ackEarly(p, early)
	}
}

// start hands claims to the runner of their pool.
func (w *Worker) start(p *pool, ts []*task) {
	attempts := make([]plugin.Attempt, len(ts))
	for i, t := range ts {
		attempts[i] = t.attempt()
	}
	w.counters.started.Add(uint64(len(ts)))
	if !w.store.Info.OneFile {
		w.sayRunning(ts)
	}
	p.runner.Start(attempts)
}

// ackEarly acknowledges claims before they run and starts those whose acknowledgement is durable. One that could not be
// written was not started: it is given back, and if the store did write it, its lease runs out and it ends as lost.
func (w *Worker) ackEarly(p *pool, ts []*task) {
	batch := make([]stem.Settlement, len(ts))
	for i, t := range ts {
		t.early = true
		batch[i] = stem.Settlement{Receipt: t.delivery.Receipt, Kind: stem.AckEarly}
	}
	errs, err := w.store.Broker.Settle(w.storeCtx, batch...)
	var pass []*task
	for i, t := range ts {
		if err == nil && errs[i] == nil {
			pass = append(pass, t)
			continue
		}
		w.table.abort(t)
		c := w.circumstances(time.Now())
		w.settle(t, t.release(&c))
	}
	if err != nil {
		w.settleOutage.failed(err, "claims stopped")
	}
	if len(pass) > 0 {
		w.start(p, pass)
	}
}

// startAgain starts what only this daemon may start, and says how much room is left.
func (p *pool) startAgain() int {
	free := p.runner.Free()
	if free <= 0 {
		return free
	}
	ts := p.again.take(free)
	if len(ts) > 0 {
		p.w.start(p, ts)
	}
	return free - len(ts)
}
