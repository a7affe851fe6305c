package host

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
)

// ends takes in outcomes.
type ends struct {
	plugin.Sink
	mu   sync.Mutex
	done []plugin.Outcome
}

func (e *ends) Ready() {}
func (e *ends) Done(outcomes []plugin.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done = append(e.done, outcomes...)
}

func (e *ends) all() []plugin.Outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.done
}

// defiant is a pool with a process that holds one attempt, has lost its session and is not dead, however often it is killed, before
// the channel is closed.
func defiant(t *testing.T) (pool *Pool, proc *process, sink *ends, dies chan struct{}, log *syncText) {
	t.Helper()
	sink, log = &ends{}, &syncText{}
	pool, err := New(Config{Name: "media", Command: []string{"/bin/true"}}, sink, hclog.New(&hclog.LoggerOptions{Output: log}))
	if err != nil {
		t.Fatal(err)
	}
	pool.killPatience = 20 * time.Millisecond
	proc = newProcess(pool, t.TempDir())
	proc.client = goplugin.NewClient(&goplugin.ClientConfig{Plugins: goplugin.PluginSet{}, RunnerFunc: nil})
	proc.cancel, proc.err = func() {}, errors.New("it ended its session")
	proc.stream = over{}
	close(proc.ended)
	pool.crew.starting++
	pool.started(proc)
	pool.crew.spares = nil
	pool.join(proc)
	pool.Start([]plugin.Attempt{{ID: "t1", Name: "resize", Epoch: 1}})
	return pool, proc, sink, proc.child.dead, log
}

// over is a session that has ended.
type over struct {
	pluginv1.PluginService_SessionClient
}

func (over) Send(*pluginv1.SessionRequest) error { return io.EOF }

// syncText is a log.
type syncText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

func TestAKilledProcessThatDoesNotDieIsAnAlarmAndAQuarantineAndItsLeasesStay(t *testing.T) {
	pool, proc, sink, dies, log := defiant(t)
	if pool.Quarantined() {
		t.Fatal("quarantined before anything happened")
	}
	verdict := make(chan death, 1)
	go func() { verdict <- proc.serve(context.Background()) }()
	until(t, "quarantine", pool.Quarantined)
	until(t, "second alarm", func() bool { return strings.Count(log.String(), "a killed process does not die") > 1 })
	if s := pool.Stats(); !s.Quarantined || !strings.Contains(s.State, "was killed and does not die; its tasks stay leased") {
		t.Errorf("%+v", s)
	}
	if pool.Free() != 0 {
		t.Errorf("%d free, a quarantined pool takes nothing", pool.Free())
	}
	if plan := pool.plan(time.Now()); plan.start != 0 {
		t.Errorf("%d would be started, and be held by what holds the first", plan.start)
	}
	if got := sink.all(); len(got) != 0 {
		t.Fatalf("reported before its process is dead: %+v", got)
	}
	close(dies)
	pool.died(proc, <-verdict)
	if got := sink.all(); len(got) != 1 || got[0].Attempt.ID != "t1" || got[0].Error.Class != stem.ClassExit && got[0].Error.Class != stem.ClassCrash {
		t.Errorf("got %+v, want the end of what it held", got)
	}
	if pool.Quarantined() {
		t.Error("the quarantine should end with the process")
	}
	if plan := pool.plan(time.Now()); plan.start == 0 {
		t.Error("a successor should be started")
	}
}

func TestAReleaseGivesUpAProcessThatDoesNotDie(t *testing.T) {
	pool, proc, sink, dies, _ := defiant(t)
	verdict := make(chan death, 1)
	go func() { verdict <- proc.serve(context.Background()) }()
	until(t, "quarantine", pool.Quarantined)
	pool.Release()
	if pool.Quarantined() {
		t.Error("released, and quarantined all the same")
	}
	if plan := pool.plan(time.Now()); plan.start == 0 {
		t.Error("the pool should go on without it")
	}
	if got := sink.all(); len(got) != 0 {
		t.Errorf("its leases should stay: %+v", got)
	}
	close(dies)
	pool.died(proc, <-verdict)
	if n := len(sink.all()); n != 1 || pool.crew.dying != 0 {
		t.Errorf("%d ends, %d dying", n, pool.crew.dying)
	}
}

func TestAReleaseGivesUpAProcessThatNeitherStartsNorDies(t *testing.T) {
	pool, err := New(Config{Name: "media", Command: []string{"/bin/true"}, Processes: Processes{Max: 1}}, &ends{}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	pool.killPatience = 20 * time.Millisecond
	if plan := pool.plan(time.Now()); plan.start != 1 {
		t.Fatalf("%d would be started", plan.start)
	}
	proc := newProcess(pool, t.TempDir())
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		proc.awaitKilled() // as launch does with one that is not ready in time
		pool.failed(proc, time.Now(), errors.New("is not ready in time"))
	}()
	until(t, "quarantine", pool.Quarantined)
	if plan := pool.plan(time.Now()); plan.start != 0 {
		t.Errorf("%d would be started beside it", plan.start)
	}
	pool.Release()
	if plan := pool.plan(time.Now()); plan.start != 1 {
		t.Errorf("%d would be started in its place", plan.start)
	}
	close(proc.child.dead)
	<-failed
	if pool.crew.starting != 1 {
		t.Errorf("%d are starting, want the one in its place", pool.crew.starting)
	}
}
