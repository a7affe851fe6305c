package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

const (
	// sweepEvery is the longest time between two looks at the parked lanes nobody can run.
	sweepEvery = time.Minute
	// sweepMost bounds how many tasks of a lane one look goes through.
	sweepMost = 1000
)

// sweepLoop ends parked tasks that nobody has declared for ParkFor: they become dead letters. The clock of a name starts again
// whenever a live manifest declares it. A manifest that is missing because the store was away says nothing.
func (w *Worker) sweepLoop(ctx context.Context) {
	inspector, ok := w.store.Broker.(stem.Inspector)
	if !ok {
		return
	}
	declaredAt := map[string]time.Time{}
	for pause(ctx, min(sweepEvery, max(w.cfg.ParkFor/4, time.Second)), nil) {
		if err := w.sweep(ctx, inspector, declaredAt); err != nil && ctx.Err() == nil {
			w.log.Warn("parked tasks: could not look for expired ones", "error", err)
		}
	}
}

func (w *Worker) sweep(ctx context.Context, inspector stem.Inspector, declaredAt map[string]time.Time) error {
	queues, missing := inspector.Queues(ctx)
	if missing != nil && !errors.Is(missing, stem.ErrUnreachable) {
		return missing
	}
	now := time.Now()
	for _, q := range queues {
		name, parked := strings.CutPrefix(q.Queue, stem.ParkedPrefix)
		if !parked || q.Ready == 0 {
			continue
		}
		if err := w.declared.read(ctx, w.store); err != nil {
			return err
		}
		if _, ok := w.declared.spec(name); ok || w.homes.queueOf(name) != "" {
			declaredAt[name] = now
			continue
		}
		if now.Sub(declaredAt[name]) < w.cfg.ParkFor || w.mayBeUnheard() {
			continue
		}
		if err := w.sweepLane(ctx, q.Queue, name, now); err != nil {
			return err
		}
	}
	return missing
}

// sweepLane claims what is in a lane, ends what has been there for too long and gives back the rest in its place.
func (w *Worker) sweepLane(ctx context.Context, lane, name string, now time.Time) error {
	var young []*attempt
	defer func() {
		for _, a := range young {
			d := w.decision(a, now)
			w.settle(a, &plugin.Outcome{}, d.release())
		}
	}()
	for seen := 0; seen < sweepMost; {
		ds, err := w.claim(ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: lane}}, Max: sortBatch})
		if err != nil || len(ds) == 0 {
			return err
		}
		seen += len(ds)
		all := make([]*attempt, len(ds))
		for i := range ds {
			all[i] = &attempt{delivery: ds[i], over: true, lease: w.leaseOf(&ds[i]), leasedUntil: now.Add(w.leaseOf(&ds[i]))}
			if h, err := stem.DecodeHeader(ds[i].Envelope.Header); err == nil {
				all[i].header = h
			}
		}
		w.inflight.add(all)
		for _, a := range all {
			if now.Sub(a.delivery.State.Parked) < w.cfg.ParkFor {
				young = append(young, a)
				continue
			}
			d := w.decision(a, now)
			w.settle(a, &plugin.Outcome{}, d.dead(stem.ReasonUnregistered, &stem.TaskError{
				Class: stem.ClassError, Type: "UnregisteredTask", Permanent: true,
				Message: fmt.Sprintf("no plugin declared %q within %v", name, w.cfg.ParkFor),
			}))
		}
	}
	return nil
}
