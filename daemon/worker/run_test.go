package worker

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

func TestATaskRunsAndItsResultIsKept(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "job")
		r.pass(time.Millisecond)
		if s := r.state("a", stem.Succeeded); string(s.Result) != "1" || s.Worker != "node" {
			t.Errorf("status is %+v", s)
		}
		r.queues()
		r.stop(d, Warm)
		if s := d.Stats(); s.Claimed != 1 || s.Started != 1 || s.Succeeded != 1 || s.Running != 0 || s.Settling != 0 {
			t.Errorf("stats are %+v", s)
		}
	})
}

func TestAFailureIsRetriedAfterItsDelayAndThenDead(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(context.Context, plugin.Attempt, plugin.Sink) plugin.Outcome { return failed(stem.ClassError) }
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "job", stem.MaxRetries(1), stem.RetryWith(stem.RetryPolicy{DefaultDelay: time.Minute}))
		r.pass(time.Second)
		if s := r.state("a", stem.Retried); s.Error == nil || s.Error.Message != "boom" {
			t.Errorf("status is %+v", s)
		}
		r.pass(58 * time.Second)
		if n := len(run.runs()); n != 1 {
			t.Fatalf("ran %d times before the delay was over", n)
		}
		r.pass(2 * time.Second)
		r.state("a", stem.Failed)
		r.dead("a " + stem.ReasonRetriesExhausted)
		r.says("dead letter: task=a name=job reason=max-retries-exhausted attempt=2 error=boom")
		r.stop(d, Warm)
	})
}

func TestNoMoreIsClaimedThanThePoolTakes(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = stuck
		d := r.start([]Pool{run.pool("p")})
		for i := range 9 {
			r.put(string(rune('a'+i)), "job")
		}
		r.pass(time.Second)
		r.queues("default 5/0/4")
		r.stop(d, Hard)
		r.queues("default 9/0/0")
	})
}

func TestATaskInTheWrongQueueIsMovedHome(t *testing.T) {
	virtually(t, func(r *rig) {
		a, b := newRunner("a.job"), newRunner("b.job")
		b.tasks[0].Queue = "bees"
		d := r.start([]Pool{a.pool("a"), b.pool("b")})
		r.pass(time.Millisecond)
		r.put("sorted", "b.job")                  // the default queue is nobody's with two pools
		r.put("misled", "b.job", stem.Queue("a")) // a queue of the other pool
		r.put("direct", "a.job", stem.Queue("a")) // and one that is right
		r.pass(3 * time.Second)
		for _, id := range []string{"sorted", "misled", "direct"} {
			r.state(id, stem.Succeeded)
		}
		if n := len(b.runs()); n != 2 {
			t.Errorf("pool b ran %v", b.runs())
		}
		if s := d.Stats(); s.Moved != 2 {
			t.Errorf("moved %d, want 2", s.Moved)
		}
		r.stop(d, Warm)
	})
}

func TestAnUnknownTaskIsParkedUntilSomebodyDeclaresIt(t *testing.T) {
	virtually(t, func(r *rig) {
		old := newRunner("job")
		d := r.start([]Pool{old.pool("p")})
		r.put("a", "later")
		r.pass(time.Second)
		r.queues("parked:later 1/0/0")
		r.stop(d, Warm)
		d = r.start([]Pool{newRunner("job", "later").pool("p")})
		r.pass(2 * time.Second)
		r.state("a", stem.Succeeded)
		r.dead()
		r.stop(d, Warm)
	})
}

func TestATaskThatAnotherDaemonParksIsTakenAtOnce(t *testing.T) {
	virtually(t, func(r *rig) {
		queues := func(name string) func(*Pool) { return func(p *Pool) { p.Queues = map[string]int{name: 1} } }
		one := r.start([]Pool{newRunner("job").pool("p", queues("one"))})
		other := r.start([]Pool{newRunner("later").pool("p", queues("other"))}, func(c *Config) { c.Node = "other" })
		r.pass(time.Minute + claimWait/3)
		r.put("a", "later", stem.Queue("one"))
		r.pass(time.Millisecond)
		r.state("a", stem.Succeeded)
		r.stop(one, Warm)
		r.stop(other, Warm)
	})
}

func TestAParkedTaskDiesWhenNobodyDeclaresItForLong(t *testing.T) {
	virtually(t, func(r *rig) {
		d := r.start([]Pool{newRunner("job").pool("p")}, func(c *Config) { c.ParkFor = time.Hour })
		r.put("a", "never")
		r.pass(55 * time.Minute)
		r.put("young", "never")
		r.pass(4 * time.Minute)
		r.queues("parked:never 2/0/0")
		r.pass(3 * time.Minute)
		r.dead("a " + stem.ReasonUnregistered)
		r.queues("parked:never 1/0/0")
		r.state("a", stem.Failed)
		r.stop(d, Warm)
	})
}

func TestAParkedTaskDoesNotDieWhileALiveManifestDeclaresIt(t *testing.T) {
	virtually(t, func(r *rig) {
		d := r.start([]Pool{newRunner("job").pool("p")}, func(c *Config) { c.ParkFor = time.Hour })
		r.put("a", "elsewhere")
		r.pass(time.Second)
		manifest := []byte(`{"node":"other","plugin":"x","tasks":[{"name":"elsewhere"}]}`)
		_, err := r.store.Records.Save(r.ctx, stem.RecordWrite{Record: stem.Record{
			RecordRef: stem.RecordRef{Kind: stem.KindManifest, ID: "other/x"}, Body: manifest, Expires: time.Now().Add(90 * time.Minute),
		}})
		if err != nil {
			t.Fatal(err)
		}
		r.pass(2 * time.Hour) // half an hour after the manifest expired
		r.dead()
		r.pass(time.Hour)
		r.dead("a " + stem.ReasonUnregistered)
		r.stop(d, Warm)
	})
}

func TestAParkedTaskDoesNotDieWhileAManifestIsMissingThatCouldNotBeWritten(t *testing.T) {
	virtually(t, func(r *rig) {
		records := &absent{Records: r.store.Records}
		declare := func(expires time.Duration) {
			t.Helper()
			manifest := []byte(`{"node":"other","plugin":"x","tasks":[{"name":"elsewhere"}]}`)
			_, err := records.Save(r.ctx, stem.RecordWrite{Record: stem.Record{
				RecordRef: stem.RecordRef{Kind: stem.KindManifest, ID: "other/x"}, Body: manifest, Expires: time.Now().Add(expires),
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		r.store.Records = records
		d := r.start([]Pool{newRunner("job").pool("p")}, func(c *Config) { c.ParkFor, c.Heartbeat = time.Hour, time.Minute })
		declare(30 * time.Minute)
		r.put("a", "elsewhere")
		r.pass(20 * time.Minute)
		records.down.Store(true)
		r.pass(2 * time.Hour)
		records.down.Store(false)
		r.pass(2 * time.Minute)
		declare(30 * time.Minute)
		r.pass(time.Hour)
		r.dead()
		r.pass(time.Hour)
		r.dead("a " + stem.ReasonUnregistered)
		r.stop(d, Warm)
	})
}

// absent are records that can be away.
type absent struct {
	stem.Records
	down atomic.Bool
}

func (a *absent) Save(ctx context.Context, w ...stem.RecordWrite) ([]int64, error) {
	if a.down.Load() {
		return nil, errDown
	}
	return a.Records.Save(ctx, w...)
}

func (a *absent) List(ctx context.Context, q stem.RecordQuery) (stem.RecordPage, error) {
	if a.down.Load() {
		return stem.RecordPage{}, errDown
	}
	return a.Records.List(ctx, q)
}

func TestAnExpiredTaskIsCancelledAndAReplayedOneIsNot(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(_ context.Context, a plugin.Attempt, _ plugin.Sink) plugin.Outcome {
			if len(run.runs()) == 1 {
				return failed(stem.ClassError)
			}
			return succeeded()
		}
		r.put("late", "job", stem.ExpiresIn(time.Minute))
		r.pass(2 * time.Minute)
		d := r.start([]Pool{run.pool("p")})
		r.pass(time.Second)
		if s := r.state("late", stem.Cancelled); s.Error.Type != "TaskExpired" || string(s.Meta["stem.expired"]) != "true" {
			t.Errorf("status is %+v", s)
		}
		r.put("again", "job", stem.ExpiresIn(time.Minute))
		r.pass(time.Second)
		r.dead("again " + stem.ReasonRetriesExhausted)
		r.pass(time.Hour)
		if _, err := r.look.Replay(r.ctx, stem.Replay{}); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Second)
		r.state("again", stem.Succeeded)
		r.stop(d, Warm)
	})
}

func TestWhatIsNoTaskOfThisNamespaceIsADeadLetter(t *testing.T) {
	virtually(t, func(r *rig) {
		good, err := stem.BuildMessage("elsewhere", stem.NewHeader("job", stem.TaskID("alien")), nil)
		if err != nil {
			t.Fatal(err)
		}
		renamed := good
		renamed.ID = "renamed"
		broken := stem.Message{ID: "broken", Name: "job", Queue: "default", Envelope: stem.Envelope{Header: []byte{0xff}}}
		if _, err := r.store.Broker.Publish(r.ctx, good, renamed, broken); err != nil {
			t.Fatal(err)
		}
		run := newRunner("job")
		d := r.start([]Pool{run.pool("p")})
		r.pass(time.Second)
		if n := len(r.dead("alien "+stem.ReasonInvalid, "renamed "+stem.ReasonInvalid, "broken "+stem.ReasonInvalid)); n != 3 || len(run.runs()) != 0 {
			t.Errorf("ran %v", run.runs())
		}
		r.stop(d, Warm)
	})
}

func TestChildrenHaveDerivedIdsLineageAndAHome(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("parent", "child")
		run.tasks[1].Queue = "kids"
		closed := make(chan plugin.Attempt, 9)
		run.handle = func(ctx context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome {
			if a.Name == "child" {
				return succeeded()
			}
			closed <- a
			child := plugin.NewTask{Header: stem.Header{Name: "child"}, Body: []byte("{}"), Key: "#1"}
			ids, err := sink.Enqueue(ctx, a, []plugin.NewTask{child})
			if err != nil || !slices.Equal(ids, []string{stem.ChildID("a", "#1")}) {
				t.Errorf("enqueued %v, %v", ids, err)
			}
			if a.Attempt == 0 {
				return failed(stem.ClassError)
			}
			alone := child
			alone.Header.RootID, alone.Key = plugin.NoParent, "alone"
			if _, err := sink.Enqueue(ctx, a, []plugin.NewTask{alone}); err != nil {
				t.Error(err)
			}
			o := succeeded()
			child.Key = "then"
			o.Then = []plugin.NewTask{child}
			return o
		}
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "parent", stem.MaxRetries(1), stem.RetryWith(stem.RetryPolicy{}))
		r.pass(time.Second)
		for _, key := range []string{"#1", "then"} {
			if s := r.state(stem.ChildID("a", key), stem.Succeeded); s.ParentID != "a" || s.RootID != "a" || s.Queue != "kids" {
				t.Errorf("child %s is %+v", key, s)
			}
		}
		if s := r.state(stem.ChildID("a", "alone"), stem.Succeeded); s.ParentID != "" || s.RootID != "" {
			t.Errorf("a child that was to have no parent is %+v", s)
		}
		if n := len(run.runs()); n != 5 {
			t.Errorf("runs %v: a repeated attempt enqueued a second child", run.runs())
		}
		if _, err := run.sink.Enqueue(r.ctx, <-closed, []plugin.NewTask{{Header: stem.Header{Name: "child"}, Key: "late"}}); err == nil {
			t.Error("an attempt that has ended could enqueue")
		}
		r.stop(d, Warm)
	})
}

func TestProgressIsKeptInTheStatus(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(ctx context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome {
			sink.Progress(a, plugin.Progress{Percent: 40, Data: []byte(`{"file":3}`)})
			return stuck(ctx, a, sink)
		}
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "job")
		r.pass(2 * time.Second)
		if got := string(r.state("a", stem.Running).Meta["progress"]); got != `{"data":{"file":3},"percent":40}` {
			t.Errorf("progress is %s", got)
		}
		r.stop(d, Hard)
	})
}

func TestASoftLimitThatPassesIsLoggedCountedAndTold(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(_ context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome {
			time.Sleep(a.Soft)
			sink.SoftLimit(a)
			time.Sleep(time.Second)
			return succeeded()
		}
		told := make(chan Late, 2)
		d := r.start([]Pool{run.pool("p")}, func(c *Config) { c.SoftLimit = func(l Late) { told <- l } })
		r.put("a", "job", stem.SoftLimit(time.Minute), stem.HardLimit(time.Hour))
		r.pass(2 * time.Minute)
		want := Late{Pool: "p", ID: "a", Name: "job", Queue: "default", Soft: time.Minute, Hard: time.Hour}
		if got := <-told; got != want {
			t.Errorf("told %+v, want %+v", got, want)
		}
		r.says("soft limit passed: the handler was told to stop: task=a name=job attempt=1 soft_limit=1m0s hard_limit=1h0m0s")
		if n := d.Stats().SoftLimits; n != 1 {
			t.Errorf("counted %d", n)
		}
		if beats, err := stem.Heartbeats(r.ctx, r.store); err != nil || len(beats) != 1 || beats[0].Extras.SoftLimits != 1 {
			t.Errorf("the heartbeat says %+v, %v", beats, err)
		}
		r.state("a", stem.Succeeded)
		r.stop(d, Warm)
	})
}

func TestAChangedManifestIsNoticed(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "added")
		r.pass(time.Second)
		r.queues("parked:added 1/0/0")
		run.tasks = []stem.TaskSpec{{Name: "job"}, {Name: "added", Queue: "fresh"}}
		run.sink.Ready()
		r.put("b", "added", stem.Queue("fresh"))
		r.pass(3 * time.Second)
		r.state("a", stem.Succeeded)
		r.state("b", stem.Succeeded)
		r.stop(d, Warm)
	})
}

func TestWhereTheStoreDoesNotSeeItRunningAndWaitingAreWritten(t *testing.T) {
	virtually(t, func(r *rig) {
		r.store.Info.OneFile = false
		var written []stem.Status
		r.store.Results = saved{r.store.Results, &written}
		run := newRunner("job")
		run.handle = func(_ context.Context, a plugin.Attempt, _ plugin.Sink) plugin.Outcome {
			time.Sleep(time.Second)
			return succeeded()
		}
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "job")
		r.pass(2 * time.Second)
		if len(written) != 1 || written[0].State != stem.Running || written[0].Epoch == 0 {
			t.Errorf("written %+v", written)
		}
		r.state("a", stem.Succeeded)
		r.stop(d, Warm)
	})
}

// saved notes what is written apart from settlements.
type saved struct {
	stem.Results
	written *[]stem.Status
}

func (s saved) Save(ctx context.Context, writes ...stem.StatusWrite) error {
	for _, w := range writes {
		*s.written = append(*s.written, w.Status)
	}
	return s.Results.Save(ctx, writes...)
}
