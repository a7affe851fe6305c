package worker

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// hanging is a broker that, from a moment on, gives no answer at all.
type hanging struct {
	stem.Broker
	hangs atomic.Bool
}

func (h *hanging) Extend(ctx context.Context, l ...stem.Lease) ([]stem.Receipt, error) {
	if h.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.Broker.Extend(ctx, l...)
}

func exclusive(name string) func(*Pool) {
	return func(p *Pool) { p.Policy.Tasks = map[string]TaskPolicy{name: {Exclusive: ptr(true)}} }
}

func TestAnExclusiveAttemptIsDeadBeforeItsLeaseLapses(t *testing.T) {
	for how, outage := range map[string]func(*rig) (start, end func()){
		"the store refuses": func(r *rig) (func(), func()) {
			b := &flaky{Broker: r.store.Broker}
			r.store.Broker = b
			return func() { b.down.Store(true) }, func() { b.down.Store(false) }
		},
		"the store hangs": func(r *rig) (func(), func()) {
			b := &hanging{Broker: r.store.Broker}
			r.store.Broker = b
			return func() { b.hangs.Store(true) }, func() { b.hangs.Store(false) }
		},
	} {
		t.Run(how, func(t *testing.T) {
			virtually(t, func(r *rig) {
				run := newRunner("alone", "job")
				run.handle = stuck
				real := r.store.Broker
				start, end := outage(r)
				d := r.start([]Pool{run.pool("p", exclusive("alone"))})
				r.put("x", "alone")
				r.put("y", "job")
				r.pass(40 * time.Second)
				if len(run.runs()) != 2 || len(run.why) != 0 {
					t.Fatalf("while the store answers: ran %v, stopped for %v", run.runs(), run.why)
				}
				killed := run.killed(plugin.Attempt{ID: "x", Epoch: run.started[0].Epoch})
				if run.started[0].ID != "x" {
					killed = run.killed(plugin.Attempt{ID: "x", Epoch: run.started[1].Epoch})
				}
				start()
				dead := false
				for range 60 {
					time.Sleep(500 * time.Millisecond)
					select {
					case <-killed:
						dead = true
					default:
					}
					// Another daemon tries all the time, at the store itself, and only peeks: what it gets it would run.
					ds, err := real.Claim(r.ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: "default"}}, Max: 1, Owner: "o/b", Lease: time.Minute})
					if err != nil {
						t.Fatal(err)
					}
					if len(ds) > 0 && ds[0].ID == "x" && !dead {
						t.Fatal("somebody else could run it while it ran here")
					}
					if dead {
						break
					}
				}
				if !dead {
					t.Fatal("it was never killed")
				}
				r.says("exclusive: the lease may lapse")
				if n := len(run.runs()); n != 2 {
					t.Errorf("%d runs", n)
				}
				end()
				d.Shutdown(Hard)
				<-d.done
				d.kill()
			})
		})
	}
}

func TestAnExclusiveTaskRunsAgainAfterTheOutageAndSpentNothing(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("alone")
		var runs atomic.Int32
		run.handle = func(ctx context.Context, a plugin.Attempt, s plugin.Sink) plugin.Outcome {
			if runs.Add(1) == 1 {
				<-ctx.Done()
				return failed(stem.ClassLostLease)
			}
			return succeeded()
		}
		broker := &flaky{Broker: r.store.Broker}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p", exclusive("alone"))})
		r.put("x", "alone")
		r.pass(time.Second)
		broker.down.Store(true)
		r.pass(time.Minute)
		if len(run.why) != 1 || run.why[0] != "lost-lease" {
			t.Errorf("stopped for %v", run.why)
		}
		broker.down.Store(false)
		r.pass(time.Minute)
		if s := r.state("x", stem.Succeeded); s.Attempt != 0 {
			t.Errorf("it spent attempts: %+v", s)
		}
		r.stop(d, Warm)
	})
}

func TestAnExclusiveTaskWithAShortLeaseIsRenewedBeforeItStarts(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("alone")
		run.handle = func(ctx context.Context, a plugin.Attempt, s plugin.Sink) plugin.Outcome {
			select {
			case <-ctx.Done():
				return failed(stem.ClassLostLease)
			case <-time.After(20 * time.Second):
				return succeeded()
			}
		}
		d := r.start([]Pool{run.pool("p", exclusive("alone"))})
		r.pass(990 * time.Millisecond) // the claim has waited for most of a lease
		r.put("x", "alone", stem.VisibilityTimeout(time.Second))
		r.pass(time.Minute)
		if n := len(run.runs()); n != 1 || len(run.why) != 0 {
			t.Errorf("%d runs, stopped for %v", n, run.why)
		}
		r.state("x", stem.Succeeded)
		r.stop(d, Warm)
	})
}

func TestTheConfigurationSaysWhatIsExclusiveAndElseTheDefinition(t *testing.T) {
	for _, c := range []struct {
		configured *bool
		defined    bool
		want       bool
	}{
		{nil, false, false},
		{nil, true, true},
		{ptr(true), false, true},
		{ptr(false), true, false},
	} {
		virtually(t, func(r *rig) {
			run := newRunner("alone")
			run.tasks[0].Exclusive = c.defined
			run.handle = func(ctx context.Context, _ plugin.Attempt, _ plugin.Sink) plugin.Outcome {
				select {
				case <-ctx.Done():
					return failed(stem.ClassLostLease)
				case <-time.After(2 * time.Minute):
					return succeeded()
				}
			}
			broker := &flaky{Broker: r.store.Broker}
			r.store.Broker = broker
			d := r.start([]Pool{run.pool("p", func(p *Pool) { p.Policy.Tasks = map[string]TaskPolicy{"alone": {Exclusive: c.configured}} })})
			r.put("x", "alone")
			r.pass(time.Second)
			manifests, err := stem.Manifests(r.ctx, r.store)
			if err != nil || len(manifests) != 1 || manifests[0].Tasks[0].Exclusive != c.want {
				t.Errorf("%+v: the manifest says %+v, %v", c, manifests, err)
			}
			broker.down.Store(true)
			r.pass(time.Minute)
			if killed := len(run.why) > 0; killed != c.want {
				t.Errorf("%+v: killed for its lease: %v", c, killed)
			}
			broker.down.Store(false)
			r.pass(10 * time.Minute)
			r.state("x", stem.Succeeded)
			r.stop(d, Warm)
		})
	}
}
