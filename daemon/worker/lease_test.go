package worker

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/proc"
	"github.com/stemd/stem/plugin"
)

// flaky is a broker that can stop answering.
type flaky struct {
	stem.Broker
	down    atomic.Bool
	extends atomic.Int64
	calls   chan string // since it answers again; nil: nobody listens
}

// answered notes a call that was answered.
func (f *flaky) answered(call string) {
	select {
	case f.calls <- call:
	default:
	}
}

var errDown = errors.New("connection refused")

func (f *flaky) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	if f.down.Load() {
		return nil, errDown
	}
	f.answered("claim")
	return f.Broker.Claim(ctx, c)
}

func (f *flaky) Settle(ctx context.Context, s ...stem.Settlement) ([]error, error) {
	if f.down.Load() {
		return nil, errDown
	}
	f.answered("settle")
	return f.Broker.Settle(ctx, s...)
}

func (f *flaky) Extend(ctx context.Context, l ...stem.Lease) ([]stem.Receipt, error) {
	f.extends.Add(1)
	if f.down.Load() {
		return nil, errDown
	}
	f.answered("extend")
	return f.Broker.Extend(ctx, l...)
}

func TestALongTaskKeepsItsLease(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(context.Context, plugin.Attempt, plugin.Sink) plugin.Outcome {
			time.Sleep(10 * time.Minute)
			return succeeded()
		}
		broker := &flaky{Broker: r.store.Broker}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p")})
		r.put("long", "job")
		r.put("short", "job", stem.VisibilityTimeout(2*time.Second))
		r.pass(time.Minute)
		if n := len(run.runs()); n != 2 {
			t.Fatalf("ran %v: a lease expired", run.runs())
		}
		// Every 10 s for the long lease, every 0.67 s for the short one, in common rounds.
		if n := broker.extends.Load(); n < 60 || n > 110 {
			t.Errorf("%d rounds of renewals in a minute", n)
		}
		r.pass(10 * time.Minute)
		r.state("long", stem.Succeeded)
		r.state("short", stem.Succeeded)
		r.stop(d, Warm)
	})
}

func TestALostLeaseKillsTheAttemptAndItsOutcomeDoesNotCount(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = stuck
		broker := &flaky{Broker: r.store.Broker}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "job")
		r.pass(time.Second)
		broker.down.Store(true)
		r.pass(time.Minute)
		other, err := broker.Broker.Claim(r.ctx, stem.Claim{
			Queues: []stem.QueueLimit{{Queue: "default"}}, Max: 1, Owner: "other/boot", Lease: time.Hour,
		})
		if err != nil || len(other) != 1 {
			t.Fatalf("the other daemon claimed %v, %v", other, err)
		}
		broker.down.Store(false)
		r.pass(10 * time.Second)
		if len(run.why) != 1 || run.why[0] != "lost-lease" {
			t.Errorf("cancelled for %v", run.why)
		}
		r.dead()
		r.queues("default 0/0/1")
		errs, err := broker.Broker.Settle(r.ctx, stem.Settlement{Receipt: other[0].Receipt, Kind: stem.Done})
		if err != nil || errs[0] != nil {
			t.Errorf("the other daemon's settlement: %v %v", errs, err)
		}
		if s := d.Stats(); s.LeasesLost != 1 || s.Running != 0 {
			t.Errorf("stats are %+v", s)
		}
		r.stop(d, Warm)
	})
}

func TestOutcomesAreKeptWhileTheStoreDoesNotAnswer(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(context.Context, plugin.Attempt, plugin.Sink) plugin.Outcome {
			time.Sleep(2 * time.Second)
			return succeeded()
		}
		broker := &flaky{Broker: r.store.Broker}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p")})
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			r.put(id, "job")
		}
		r.pass(time.Second)
		broker.down.Store(true)
		r.pass(5 * time.Minute)
		if n := len(run.runs()); n != 4 {
			t.Errorf("ran %v", run.runs())
		}
		if s := d.Stats(); s.Settling != 4 || s.Running != 0 {
			t.Errorf("stats are %+v", s)
		}
		broker.down.Store(false)
		r.pass(30 * time.Second)
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			r.state(id, stem.Succeeded)
		}
		if n := len(run.runs()); n != 5 {
			t.Errorf("ran %v: work was repeated", run.runs())
		}
		if n := strings.Count(r.logged(), "settle: connection refused"); n != 1 {
			t.Errorf("%d lines about one outage:\n%s", n, r.logged())
		}
		r.says("works again after")
		r.stop(d, Warm)
	})
}

func TestLeasesAreRenewedBeforeAnythingElseWhenTheStoreIsBack(t *testing.T) {
	for range 40 { // which loop tries first is a matter of chance
		virtually(t, func(r *rig) {
			run := newRunner("job")
			run.handle = func(ctx context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome {
				if a.ID == "long" {
					return stuck(ctx, a, sink)
				}
				time.Sleep(2 * time.Second)
				return succeeded()
			}
			broker := &flaky{Broker: r.store.Broker}
			r.store.Broker = broker
			d := r.start([]Pool{run.pool("p")})
			r.put("long", "job")
			r.put("short", "job")
			r.pass(time.Second)
			broker.down.Store(true)
			r.pass(time.Minute)
			broker.calls = make(chan string, 1)
			broker.down.Store(false)
			r.pass(30 * time.Second)
			if first := <-broker.calls; first != "extend" {
				t.Errorf("the first act is %s", first)
			}
			r.stop(d, Hard)
		})
	}
}

func TestAStopGivesUpOnAStoreThatNeverAnswersAndSaysSo(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(context.Context, plugin.Attempt, plugin.Sink) plugin.Outcome {
			time.Sleep(2 * time.Second)
			return succeeded()
		}
		broker := &flaky{Broker: r.store.Broker}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "job")
		r.pass(time.Second)
		broker.down.Store(true)
		r.pass(10 * time.Second)
		d.Shutdown(Hard)
		if err := <-d.done; err == nil || !strings.Contains(err.Error(), "1 outcomes could not be written") {
			t.Errorf("stopped with %v", err)
		}
	})
}

func TestALeaseAskedForByTheHandlerIsGiven(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(ctx context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome {
			sink.Progress(a, plugin.Progress{ExtendLease: time.Hour})
			return stuck(ctx, a, sink)
		}
		broker := &flaky{Broker: r.store.Broker}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "job")
		r.pass(time.Second)
		broker.down.Store(true)
		r.pass(30 * time.Minute)
		others, err := broker.Broker.Claim(r.ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: "default"}}, Max: 1, Owner: "o/b"})
		if err != nil || len(others) != 0 {
			t.Errorf("the lease ended early: %v, %v", others, err)
		}
		broker.down.Store(false)
		r.pass(10 * time.Second)
		r.stop(d, Hard)
	})
}

func TestATaskThatTakesItsDaemonDownEveryTimeIsPoison(t *testing.T) {
	virtually(t, func(r *rig) {
		r.put("a", "job")
		for range stem.MaxRedeliveries + 1 {
			ds, err := r.store.Broker.Claim(r.ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: "default"}}, Max: 1, Owner: "gone/boot", Lease: time.Second})
			if err != nil || len(ds) != 1 {
				t.Fatal(ds, err)
			}
			r.pass(time.Second)
		}
		run := newRunner("job")
		d := r.start([]Pool{run.pool("p")})
		r.pass(time.Second)
		r.dead("a " + stem.ReasonPoison)
		r.stop(d, Warm)
		if len(run.runs()) != 0 {
			t.Error("it ran")
		}
	})
}

func TestAnEarlyAcknowledgedTaskRunsOnceWhateverHappens(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(context.Context, plugin.Attempt, plugin.Sink) plugin.Outcome { return failed(stem.ClassError) }
		r.put("lost", "job", stem.AcksLate(false))
		ds, err := r.store.Broker.Claim(r.ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: "default"}}, Max: 1, Owner: "gone/boot", Lease: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.Broker.Settle(r.ctx, stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.AckEarly}); err != nil {
			t.Fatal(err)
		}
		r.pass(2 * time.Second)
		d := r.start([]Pool{run.pool("p")})
		r.pass(time.Second)
		r.put("failing", "job", stem.AcksLate(false), stem.MaxRetries(5))
		r.pass(time.Hour)
		r.dead("lost lost_lease", "failing "+stem.ReasonRetriesExhausted)
		if n := len(run.runs()); n != 1 {
			t.Errorf("ran %v", run.runs())
		}
		r.stop(d, Warm)
	})
}

// predecessor leaves a heartbeat of a daemon and a task it holds.
func (r *rig) predecessor(pid int, start uint64) {
	r.Helper()
	r.put("held", "job")
	ds, err := r.store.Broker.Claim(r.ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: "default"}}, Max: 1, Owner: "node/old", Lease: time.Hour})
	if err != nil || len(ds) != 1 {
		r.Fatal(ds, err)
	}
	host, err := os.Hostname()
	if err != nil {
		r.Fatal(err)
	}
	body, err := json.Marshal(stem.Heartbeat{
		WorkerID: "node", Timestamp: time.Now(), Owner: "node/old", BootID: "old", StartTime: start, Interval: 10 * time.Second,
		Extras: stem.HeartbeatExtras{Host: host, Pid: pid},
	})
	if err != nil {
		r.Fatal(err)
	}
	ref := stem.RecordRef{Kind: stem.KindHeartbeat, ID: "node"}
	if _, err := r.store.Records.Save(r.ctx, stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: body}}); err != nil {
		r.Fatal(err)
	}
}

func TestTheTasksOfADeadPredecessorRunAtOnce(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	virtually(t, func(r *rig) {
		r.predecessor(gone.Process.Pid, 1)
		d := r.start([]Pool{newRunner("job").pool("p")})
		r.pass(time.Second)
		r.state("held", stem.Succeeded)
		r.says("tasks=1")
		r.stop(d, Warm)
	})
}

func TestADaemonRefusesToStartBesideALivingOneOfItsName(t *testing.T) {
	living := exec.Command("sleep", "60")
	if err := living.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { living.Process.Kill(); living.Wait() })
	start, err := proc.StartTime(living.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	virtually(t, func(r *rig) {
		r.predecessor(living.Process.Pid, start)
		d := r.start([]Pool{newRunner("job").pool("p")})
		if err := <-d.done; err == nil || !strings.Contains(err.Error(), "runs already") || !strings.Contains(err.Error(), "STEM_WORKER_NODE") {
			t.Errorf("started: %v", err)
		}
		r.queues("default 0/0/1")
		d.kill()
	})
}

func TestADaemonIsListedWhileItRuns(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		d := r.start([]Pool{run.pool("p", func(p *Pool) { p.Policy.MaxRetries = ptr(3) })})
		r.pass(time.Minute)
		beats, err := stem.Heartbeats(r.ctx, r.store)
		if err != nil || len(beats) != 1 {
			t.Fatal(beats, err)
		}
		b := beats[0]
		if b.WorkerID != "node" || time.Since(b.Timestamp) > 10*time.Second || len(b.Queues) != 1 || b.Queues[0].Name != "default" || len(b.Pools) != 1 || b.LastClaim.IsZero() {
			t.Errorf("heartbeat is %+v", b)
		}
		manifests, err := stem.Manifests(r.ctx, r.store)
		if err != nil || len(manifests) != 1 {
			t.Fatal(manifests, err)
		}
		if m := manifests[0]; m.Plugin != "p" || len(m.Tasks) != 1 || m.Tasks[0].Queue != "default" || m.Tasks[0].MaxRetries != 3 {
			t.Errorf("manifest is %+v", m)
		}
		r.stop(d, Warm)
		beats, err = stem.Heartbeats(r.ctx, r.store)
		manifests, err2 := stem.Manifests(r.ctx, r.store)
		if err != nil || err2 != nil || len(beats)+len(manifests) != 0 {
			t.Errorf("after the stop: %v %v %v %v", beats, manifests, err, err2)
		}
	})
}

func TestARevokedTaskDoesNotRunAgain(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job", "flop")
		release := make(chan struct{})
		run.handle = func(ctx context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome {
			if a.Name == "flop" {
				<-release
				return failed(stem.ClassError)
			}
			return stuck(ctx, a, sink)
		}
		client := stem.NewClient(r.store)
		cancel := func(id string, o stem.CancelOptions) {
			if err := client.Cancel(r.ctx, id, o); err != nil {
				t.Fatal(err)
			}
		}
		r.put("waiting", "job")
		cancel("waiting", stem.CancelOptions{Reason: "not needed", Requester: "ann"})
		d := r.start([]Pool{run.pool("p")})
		r.put("running", "job")
		r.put("forced", "job")
		r.put("failing", "flop", stem.MaxRetries(5), stem.RetryWith(stem.RetryPolicy{}))
		r.pass(time.Second)
		if s := r.state("waiting", stem.Cancelled); s.Error.Message != "cancelled by ann: not needed" || string(s.Meta["revoked"]) != "true" {
			t.Errorf("status is %+v", s)
		}
		cancel("failing", stem.CancelOptions{})
		cancel("running", stem.CancelOptions{Terminate: true})
		synctest.Wait()
		close(release)
		cancel("forced", stem.CancelOptions{Force: true})
		r.pass(time.Millisecond)
		for _, id := range []string{"running", "forced", "failing"} {
			r.state(id, stem.Cancelled)
		}
		if len(run.runs()) != 3 {
			t.Errorf("ran %v", run.runs())
		}
		r.stop(d, Warm)
	})
}

func TestARevocationDoesNotOutliveTheTaskItWasAbout(t *testing.T) {
	virtually(t, func(r *rig) {
		d := r.start([]Pool{newRunner("job").pool("p")})
		r.put("a", "job", stem.Delay(time.Minute))
		if err := stem.NewClient(r.store).Cancel(r.ctx, "a", stem.CancelOptions{}); err != nil {
			t.Fatal(err)
		}
		r.pass(2 * time.Minute)
		r.state("a", stem.Cancelled)
		r.pass(3 * stem.DefaultDedupe)
		r.put("a", "job")
		r.pass(time.Second)
		r.state("a", stem.Succeeded)
		r.stop(d, Warm)
	})
}

func TestOnlyALeaseThatIsShorterThanUsualWakesWhoRenewsLeases(t *testing.T) {
	const usual = 30 * time.Second
	now, f := time.Now(), newInflight()
	next, due := f.nextRenewal(now, usual)
	if due || !next.Equal(now.Add(usual*5/12)) {
		t.Fatalf("nothing is held, and leases are looked at after %s, due %v", next.Sub(now), due)
	}
	claim := func(id string, lease time.Duration) *attempt {
		return &attempt{delivery: stem.Delivery{Message: stem.Message{ID: id}}, lease: lease, leasedUntil: now.Add(lease)}
	}
	f.add([]*attempt{claim("usual", usual), claim("longer", time.Hour)})
	if len(f.due) != 0 {
		t.Fatal("a claim with the usual lease wakes who renews")
	}
	f.add([]*attempt{claim("shorter", 3*time.Second)})
	if len(f.due) != 1 {
		t.Fatal("nobody looks in time at a lease that is shorter")
	}
	if next, due := f.nextRenewal(now, usual); due || !next.Equal(now.Add(3*time.Second*5/12)) {
		t.Fatalf("the shorter lease is looked at after %s, due %v", next.Sub(now), due)
	}
	if _, due := f.nextRenewal(now.Add(2*time.Second), usual); !due {
		t.Fatal("its time has passed and it is not due")
	}
}
