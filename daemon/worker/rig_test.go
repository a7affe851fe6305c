package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
	"github.com/stemd/stem/plugin"
)

// runner is a pool of handlers in this process: each attempt is a goroutine that runs handle.
type runner struct {
	slots  int
	tasks  []stem.TaskSpec
	handle func(ctx context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome

	sink    plugin.Sink
	wg      sync.WaitGroup
	mu      sync.Mutex
	cancels map[attemptKey]context.CancelCauseFunc
	started []plugin.Attempt
	why     []string // of cancellations
	kills   map[attemptKey]chan struct{}
}

// killed is closed when an attempt is killed.
func (r *runner) killed(a plugin.Attempt) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kills[attemptKey{a.ID, a.Epoch}]
}

var errKilled = errors.New("killed")

func newRunner(names ...string) *runner {
	r := &runner{slots: 4, cancels: map[attemptKey]context.CancelCauseFunc{}, kills: map[attemptKey]chan struct{}{}}
	for _, name := range names {
		r.tasks = append(r.tasks, stem.TaskSpec{Name: name})
	}
	r.handle = func(context.Context, plugin.Attempt, plugin.Sink) plugin.Outcome { return succeeded() }
	return r
}

func succeeded() plugin.Outcome { return plugin.Outcome{Kind: plugin.Success, Result: []byte("1")} }

func failed(c stem.Class) plugin.Outcome {
	return plugin.Outcome{Kind: plugin.Failure, Error: &stem.TaskError{Class: c, Type: "Boom", Message: "boom"}}
}

// stuck is a handler that runs until it is stopped.
func stuck(ctx context.Context, _ plugin.Attempt, _ plugin.Sink) plugin.Outcome {
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), errKilled) {
		return failed(stem.ClassCrash)
	}
	return failed(stem.ClassError)
}

func (r *runner) pool(name string, change ...func(*Pool)) Pool {
	p := Pool{Name: name, New: func(sink plugin.Sink) Runner { r.sink = sink; return r }}
	for _, f := range change {
		f(&p)
	}
	return p
}

func (r *runner) Manifest() plugin.Manifest {
	return plugin.Manifest{Name: "fake", Version: "1.0.0", Protocol: 1, Tasks: r.tasks}
}

func (r *runner) Run(ctx context.Context) error {
	r.sink.Ready()
	<-ctx.Done()
	r.mu.Lock()
	for _, cancel := range r.cancels {
		cancel(errKilled)
	}
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}

func (r *runner) Free() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slots - len(r.cancels)
}

func (r *runner) Start(attempts []plugin.Attempt) {
	for _, a := range attempts {
		ctx, cancel := context.WithCancelCause(context.Background())
		k := attemptKey{a.ID, a.Epoch}
		r.mu.Lock()
		r.cancels[k], r.kills[k] = cancel, make(chan struct{})
		r.started = append(r.started, a)
		r.mu.Unlock()
		r.wg.Go(func() {
			started := time.Now()
			o := r.handle(ctx, a, r.sink)
			o.Attempt, o.Started, o.Finished = a, started, time.Now()
			r.mu.Lock()
			delete(r.cancels, k)
			r.mu.Unlock()
			cancel(nil)
			r.sink.Done([]plugin.Outcome{o})
		})
	}
}

func (r *runner) Cancel(id string, epoch stem.Epoch, why string, force bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel := r.cancels[attemptKey{id, epoch}]; cancel != nil {
		r.why = append(r.why, why)
		cause := errors.New(why)
		if force {
			cause = errKilled
			select {
			case <-r.kills[attemptKey{id, epoch}]: // killed before: it may be told again
			default:
				close(r.kills[attemptKey{id, epoch}])
			}
		}
		cancel(cause)
	}
}

func (r *runner) Recall() {}

func (r *runner) Stats() stem.HeartbeatPool { return stem.HeartbeatPool{Up: 1, Size: 1, State: "ok"} }

func (r *runner) runs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for _, a := range r.started {
		ids = append(ids, a.ID)
	}
	return ids
}

// rig is a store and the daemons on it, in virtual time.
type rig struct {
	*testing.T
	ctx   context.Context
	store stem.Store
	look  stem.Inspector
	log   bytes.Buffer
	logMu sync.Mutex
}

func (r *rig) Write(b []byte) (int, error) {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return r.log.Write(b)
}

func (r *rig) logged() string {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return r.log.String()
}

func virtually(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store, err := memory.Open(t.Context(), "memory://")
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		f(&rig{T: t, ctx: context.Background(), store: store, look: store.Broker.(stem.Inspector)})
	})
}

// daemon is one running worker.
type daemon struct {
	*Worker
	done chan error
	kill context.CancelFunc
}

func (r *rig) start(pools []Pool, change ...func(*Config)) *daemon {
	r.Helper()
	cfg := Config{Node: "node", Boot: stem.NewID(), Pools: pools}
	for _, f := range change {
		f(&cfg)
	}
	w, err := New(cfg, r.store, hclog.New(&hclog.LoggerOptions{Output: r, Level: hclog.Info}))
	if err != nil {
		r.Fatal(err)
	}
	ctx, kill := context.WithCancel(r.ctx)
	d := &daemon{w, make(chan error, 1), kill}
	go func() { d.done <- w.Run(ctx) }()
	return d
}

func (r *rig) stop(d *daemon, m Mode) {
	r.Helper()
	d.Shutdown(m)
	if err := <-d.done; err != nil {
		r.Errorf("%v stop: %v", m, err)
	}
	d.kill()
}

// put publishes a task with a chosen id.
func (r *rig) put(id, name string, opts ...stem.Option) {
	r.Helper()
	m, err := stem.BuildMessage(stem.DefaultNamespace, stem.NewHeader(name, append(opts, stem.TaskID(id))...), []byte("{}"))
	if err != nil {
		r.Fatal(err)
	}
	p, err := r.store.Broker.Publish(r.ctx, m)
	if err != nil || p[0].State != stem.Accepted {
		r.Fatalf("publish %s: %+v %v", id, p, err)
	}
}

// pass lets time go by.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) state(id string, want stem.TaskState) *stem.Status {
	r.Helper()
	found, err := r.store.Results.Load(r.ctx, id)
	if err != nil {
		r.Fatal(err)
	}
	if found[0] == nil || found[0].State != want {
		r.Fatalf("status of %s is %+v, want %s", id, found[0], want)
	}
	return found[0]
}

func (r *rig) dead(want ...string) []stem.DeadLetter {
	r.Helper()
	page, err := r.look.DeadLetters(r.ctx, stem.DeadLetterQuery{})
	if err != nil {
		r.Fatal(err)
	}
	var got []string
	for i := len(page.Items) - 1; i >= 0; i-- {
		got = append(got, page.Items[i].Message.ID+" "+page.Items[i].Reason)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.Fatalf("dead letters %v, want %v", got, want)
	}
	return page.Items
}

// queues lists what waits or runs, as "queue ready/delayed/running".
func (r *rig) queues(want ...string) {
	r.Helper()
	counts, err := r.look.Queues(r.ctx)
	if err != nil {
		r.Fatal(err)
	}
	var got []string
	for _, q := range counts {
		if q.Ready+q.Delayed+q.Running > 0 {
			got = append(got, fmt.Sprintf("%s %d/%d/%d", q.Queue, q.Ready, q.Delayed, q.Running))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.Fatalf("queues %v, want %v", got, want)
	}
}

func (r *rig) says(want string) {
	r.Helper()
	if !strings.Contains(r.logged(), want) {
		r.Errorf("the log does not say %q:\n%s", want, r.logged())
	}
}
