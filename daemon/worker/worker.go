package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	"github.com/stemd/stem/plugin"
)

// Worker claims tasks and has them run by the pools of its configuration. Its methods are safe for concurrent use; Run is
// called once.
type Worker struct {
	cfg     Config
	store   stem.Store
	log     hclog.Logger
	started time.Time

	pools     []*pool
	directory atomic.Pointer[directory]
	learning  sync.Mutex    // one manifest at a time
	learned   chan struct{} // for the sorter: the directory changed
	beat      chan struct{} // for the heartbeat: likewise

	table       *table
	revocations *revocations
	declared    declared
	settlements *adapters.Collector[*task, struct{}]
	statuses    *adapters.Collector[stem.StatusWrite, struct{}]
	storeCtx    context.Context // ends when outcomes that could not be written are given up
	renewing    sync.Mutex      // one round of renewals at a time

	claimOutage, settleOutage, renewOutage, beatOutage, revokeOutage outage

	counters  counters
	abandoned atomic.Uint64
	lastClaim atomic.Int64 // UnixNano

	mode     atomic.Int32
	modes    chan struct{} // the mode has changed
	closing  atomic.Bool   // nothing new is started
	stopping atomic.Bool   // what runs is being stopped: only successes count
}

// New makes a worker over an open store. It calls the pools' New and starts nothing.
func New(cfg Config, store stem.Store, log hclog.Logger) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if store.Broker == nil || store.Results == nil || store.Records == nil {
		return nil, errors.New("worker: the store lacks a port: it needs a broker, results and records")
	}
	w := &Worker{
		cfg: cfg, store: store, log: log, table: newTable(), revocations: &revocations{byID: map[string]stem.Record{}},
		learned: make(chan struct{}, 1), beat: make(chan struct{}, 1), modes: make(chan struct{}, 1),
	}
	for o, what := range map[*outage]string{
		&w.claimOutage: "claim", &w.settleOutage: "settle", &w.renewOutage: "renew leases",
		&w.beatOutage: "heartbeat", &w.revokeOutage: "read cancellations",
	} {
		o.log, o.what = log, "store "+store.Info.Kind+": "+what
	}
	w.settlements = adapters.NewCollector(settleBatch, w.write)
	w.statuses = adapters.NewCollector(settleBatch, w.writeStatuses)
	for _, c := range cfg.Pools {
		p := &pool{w: w, cfg: c, wake: make(chan struct{}, 1)}
		p.runner = c.New(p)
		w.pools = append(w.pools, p)
	}
	w.directory.Store(newDirectory(w.pools))
	return w, nil
}

// learn takes in a pool's manifest.
func (w *Worker) learn(p *pool, m plugin.Manifest) {
	w.learning.Lock()
	defer w.learning.Unlock()
	p.manifest = m
	d := newDirectory(w.pools)
	w.directory.Store(d)
	w.log.Info("plugin ready", "pool", p.cfg.Name, "version", m.Version, "tasks", len(m.Tasks), "queues", d.queues[p].String())
	poke(w.learned)
	poke(w.beat)
	for _, other := range w.pools {
		poke(other.wake)
	}
}

// Run works until Shutdown has drained it, or ctx ends, which is a hard stop. When it returns, every runner has returned from
// its Run and everything unfinished was given back; it returns nil unless it could not start, a runner failed, or outcomes
// could not be written.
func (w *Worker) Run(ctx context.Context) error {
	w.started = time.Now()
	if err := w.takeOver(ctx); err != nil {
		return err
	}
	if err := w.readRevocations(ctx); err != nil {
		return err
	}
	var abandon context.CancelFunc
	w.storeCtx, abandon = context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()

	parts, stopParts := context.WithCancel(w.storeCtx)
	defer stopParts()
	claims, stopClaims := context.WithCancel(w.storeCtx)
	defer stopClaims()
	runners, stopRunners := context.WithCancel(w.storeCtx)
	defer stopRunners()

	var running, claiming, others sync.WaitGroup
	failed := make(chan error, len(w.pools))
	for _, p := range w.pools {
		running.Go(func() {
			if err := p.runner.Run(runners); err != nil && runners.Err() == nil {
				failed <- fmt.Errorf("worker: pool %s: %w", p.cfg.Name, err)
			}
		})
		claiming.Go(func() { p.claimLoop(claims) })
	}
	claiming.Go(func() { w.sortLoop(claims) })
	for _, loop := range []func(context.Context){w.renewLoop, w.revocationLoop, w.heartbeatLoop, w.maintainLoop, w.sweepLoop} {
		others.Go(func() { loop(parts) })
	}

	err := w.untilDrained(ctx, failed, drain{
		stopClaims: func() { stopClaims(); claiming.Wait() }, stopRunners: func() { stopRunners(); running.Wait() },
	})
	w.giveBack()
	lost := w.flush(abandon)
	stopParts()
	others.Wait()
	w.farewell()
	if lost > 0 {
		err = errors.Join(err, fmt.Errorf("worker: %d outcomes could not be written: their tasks run again when their leases end", lost))
	}
	return err
}

// circumstances of a decision made now.
func (w *Worker) circumstances(now time.Time) circumstances {
	return circumstances{
		now: now, worker: w.cfg.Node, ttl: w.cfg.ResultTTL, maxResult: w.cfg.MaxResult,
		oneFile: w.store.Info.OneFile, delay: stem.RetryPolicy.Delay,
	}
}
