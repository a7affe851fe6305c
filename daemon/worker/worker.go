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
	cfg    Config
	store  stem.Store
	log    hclog.Logger
	begun  time.Time // of Run
	giveUp context.CancelFunc

	pools   []*pool
	homes   *homes
	learned chan struct{} // for the sorter: a manifest became known
	beat    chan struct{} // for the heartbeat: likewise

	inflight    *inflight
	revocations *revocations
	declared    declared
	settler     *settler
	presence    presence // the heartbeat loop's
	statuses    *adapters.Collector[stem.StatusWrite, struct{}]
	renewing    sync.Mutex // one round of renewals at a time

	unheard                                                                                   atomic.Int64 // when a heartbeat was last not written in time
	unrenewed                                                                                 missed
	unreached                                                                                 atomic.Int64 // when a claim last missed a part of the store
	claimOutage, settleOutage, renewOutage, beatOutage, revokeOutage, partOutage, emptyOutage outage

	counters   counters
	classes    classCounts
	deletedMu  sync.Mutex
	deleted    stem.Maintained // what was past its retention
	outputs    outputs
	leasesLost atomic.Uint64
	lastClaim  atomic.Int64 // UnixNano

	modeMu      sync.Mutex
	mode        Mode
	modeChanged chan struct{} // closed and replaced when mode changes
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
		cfg: cfg, store: store, log: log, inflight: newInflight(), homes: newHomes(cfg.Pools),
		revocations: &revocations{byID: map[string]stem.Record{}}, modeChanged: make(chan struct{}),
		learned: make(chan struct{}, 1), beat: make(chan struct{}, 1),
	}
	for o, what := range map[*outage]string{
		&w.claimOutage: "claim", &w.settleOutage: "settle", &w.renewOutage: "renew leases",
		&w.beatOutage: "heartbeat", &w.revokeOutage: "read cancellations",
		&w.partOutage: "settle in a part of it", &w.emptyOutage: "claim in a part of it",
	} {
		o.log, o.what = log, "store "+store.Info.Kind+": "+what
	}
	ctx, giveUp := context.WithCancel(context.Background())
	w.giveUp, w.settler = giveUp, newSettler(ctx, w)
	w.statuses = adapters.NewCollector(settleBatch, w.writeStatuses)
	for _, c := range cfg.Pools {
		p := &pool{Pool: c, w: w, ready: make(chan struct{}), wake: make(chan struct{}, 1)}
		p.runner = c.New(p)
		w.pools = append(w.pools, p)
	}
	return w, nil
}

// announced tells who waits for manifests that one more is known.
func (w *Worker) announced() {
	poke(w.learned)
	poke(w.beat)
}

// Run works until Shutdown has drained it, or ctx ends, which is a hard stop. When it returns, every runner has returned from
// its Run and everything unfinished was given back. It returns nil unless it could not start, a runner failed, or outcomes
// could not be written.
func (w *Worker) Run(ctx context.Context) error {
	defer w.giveUp()
	w.begun = time.Now()
	if err := w.takeOver(ctx); err != nil {
		return err
	}
	if err := w.readRevocations(ctx); err != nil {
		return err
	}
	base := w.settler.ctx
	claims, stopClaims := context.WithCancel(base)
	defer stopClaims()
	runners, stopRunners := context.WithCancel(base)
	defer stopRunners()
	parts, stopParts := context.WithCancel(base)
	defer stopParts()

	var claiming, running, others sync.WaitGroup
	failed := make(chan error, len(w.pools))
	for _, loop := range []func(context.Context){
		w.renewLoop, w.guardLoop, w.revocationLoop, w.heartbeatLoop, w.progressLoop, w.maintainLoop, w.sweepLoop, w.backlogLoop,
		w.releaseLoop,
	} {
		others.Go(func() { loop(parts) })
	}
	for _, p := range w.pools {
		running.Go(func() {
			if err := p.runner.Run(runners); err != nil && runners.Err() == nil {
				failed <- fmt.Errorf("worker: pool %s: %w", p.Name, err)
			}
		})
		claiming.Go(func() {
			if w.mayBegin(claims) {
				p.claimLoop(claims)
			}
		})
	}
	claiming.Go(func() {
		if w.mayBegin(claims) {
			w.sortLoop(claims)
		}
	})

	err := w.untilStopped(ctx, failed)
	stopClaims()
	claiming.Wait()
	w.drain(ctx)
	stopRunners()
	running.Wait()
	w.giveBack()
	w.settler.flush(w.giveUp)
	w.statuses.Wait()
	stopParts()
	others.Wait()
	w.farewell()
	if n := w.settler.abandoned.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("worker: %d outcomes could not be written: their tasks run again when their leases end", n))
	}
	return err
}

// untilStopped waits for a reason to stop. Its error is that of a runner that failed.
func (w *Worker) untilStopped(ctx context.Context, failed <-chan error) error {
	mode, changed := w.currentMode()
	if mode != 0 {
		return nil
	}
	select {
	case <-changed:
	case <-ctx.Done():
		w.Shutdown(Hard)
	case err := <-failed:
		w.Shutdown(Soft)
		return err
	}
	return nil
}

// giveBack settles what no runner reported before it was gone: nothing runs any more.
func (w *Worker) giveBack() {
	var left []*attempt
	w.inflight.each(func(a *attempt) {
		if !a.over {
			a.over = true
			left = append(left, a)
		}
	})
	for _, a := range left {
		d := w.decision(a, time.Now())
		d.early = a.early
		d.outcome = plugin.Outcome{Kind: plugin.NotRun, Error: &stem.TaskError{Class: stem.ClassDrain, Type: "Drained", Message: "stopped by a shutdown"}}
		w.settle(a, &d.outcome, decide(d))
	}
}
