package host_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/proc"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(plugin.CookieKey) == plugin.CookieValue:
		mode := ""
		if len(os.Args) > 1 {
			mode = os.Args[1]
		}
		fixture(mode)
	case len(os.Args) > 2 && os.Args[1] == "host":
		victim(os.Args[2])
	default:
		// A program built with the race detector stays for a second at its end otherwise.
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
		goleak.VerifyTestMain(m)
	}
}

// patience bounds every wait of a test; it is never waited for in full unless the test fails.
const patience = 30 * time.Second

// sink records what a pool reports.
type sink struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced on every report
	outcomes []plugin.Outcome
	byID     map[string]int
	progress []plugin.Progress
	logs     []logged // see lines
	children []plugin.NewTask
	late     []string // ids of attempts over their soft limits
}

type logged struct {
	plugin.Attempt
	plugin.LogRecord
}

func newSink() *sink { return &sink{changed: make(chan struct{}), byID: map[string]int{}} }

func (s *sink) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *sink) Done(outcomes []plugin.Outcome) {
	s.note(func() {
		s.outcomes = append(s.outcomes, outcomes...)
		for _, o := range outcomes {
			s.byID[fmt.Sprintf("%s, epoch %d", o.Attempt.ID, o.Attempt.Epoch)]++
		}
	})
}
func (s *sink) Ready() { s.note(func() {}) }
func (s *sink) Progress(_ plugin.Attempt, p plugin.Progress) {
	s.note(func() { s.progress = append(s.progress, p) })
}

func (s *sink) SoftLimit(a plugin.Attempt) { s.note(func() { s.late = append(s.late, a.ID) }) }

func (s *sink) Log(a plugin.Attempt, r plugin.LogRecord) {
	s.note(func() { s.logs = append(s.logs, logged{a, r}) })
}

func (s *sink) Enqueue(_ context.Context, _ plugin.Attempt, tasks []plugin.NewTask) ([]string, error) {
	s.note(func() { s.children = append(s.children, tasks...) })
	return []string{"child-1"}, nil
}

// until waits for a condition on the sink or the pool.
func (s *sink) until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	timeout := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond) // not everything waited for is reported here
	defer tick.Stop()
	for {
		s.mu.Lock()
		changed, ok := s.changed, cond()
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// lines is what the plugin has logged and printed; not for conditions of until.
func (s *sink) lines() []logged {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.logs)
}

// outcome waits for the end of an attempt.
func (s *sink) outcome(t testing.TB, id string) plugin.Outcome {
	t.Helper()
	var found plugin.Outcome
	s.until(t, "the outcome of "+id, func() bool {
		for _, o := range s.outcomes {
			if o.Attempt.ID == id {
				found = o
				return true
			}
		}
		return false
	})
	return found
}

// rig is a running pool of fixtures.
type rig struct {
	*host.Pool
	*sink
	t    testing.TB
	log  *buffer
	stop func() // ends Run and waits for it; may be called twice
	n    int
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs a pool and does not wait for it to be ready. An empty command is the fixture in the given mode.
func start(t testing.TB, mode string, change func(*host.Config), adjust ...func(*host.Pool)) *rig {
	t.Helper()
	cfg := host.Config{
		Name: "media", Command: []string{os.Args[0], mode}, Dir: shortDir(t), Processes: host.Processes{Max: 1},
		Env: []string{"GORACE"}, Grace: 5 * time.Second, Restart: host.Restart{Delay: 20 * time.Millisecond, MaxDelay: 50 * time.Millisecond, Attempts: 2},
	}
	if change != nil {
		change(&cfg)
	}
	r := &rig{sink: newSink(), t: t, log: &buffer{}}
	pool, err := host.New(cfg, r.sink, hclog.New(&hclog.LoggerOptions{Output: r.log, Level: hclog.Debug}))
	if err != nil {
		t.Fatal(err)
	}
	r.Pool = pool
	for _, f := range adjust {
		f(pool)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- pool.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(patience):
				t.Errorf("Run does not end")
			}
			if left, _ := os.ReadDir(cfg.Dir); len(left) != 0 {
				t.Errorf("the pool left %v behind", left)
			}
		})
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("log:\n%s", r.log.String())
		}
		for id, n := range r.byID {
			if n != 1 {
				t.Errorf("%d outcomes of %s, want one", n, id)
			}
		}
	})
	return r
}

// up is start, and waits until all processes are ready.
func up(t testing.TB, mode string, change func(*host.Config), adjust ...func(*host.Pool)) *rig {
	t.Helper()
	r := start(t, mode, change, adjust...)
	r.untilUp()
	return r
}

func (r *rig) untilUp() {
	r.t.Helper()
	r.until(r.t, "the pool to be up", func() bool { return r.Stats().State == "ok" })
}

// untilSaid waits for texts in the pool's log: a line may follow the state it is about.
func (r *rig) untilSaid(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		r.until(r.t, "the log to say "+text, func() bool { return strings.Contains(r.log.String(), text) })
	}
}

// shortDir is a private directory whose path fits a socket's.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "h")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// attempt makes one.
func (r *rig) attempt(body string, change ...func(*plugin.Attempt)) plugin.Attempt {
	r.n++
	a := plugin.Attempt{ID: fmt.Sprintf("t%d", r.n), Name: strings.SplitN(body, " ", 2)[0], Epoch: 1, Queue: "q", Body: []byte(body)}
	for _, f := range change {
		f(&a)
	}
	return a
}

// give starts one attempt and returns its id.
func (r *rig) give(body string, change ...func(*plugin.Attempt)) string {
	a := r.attempt(body, change...)
	r.Start([]plugin.Attempt{a})
	return a.ID
}

// run gives an attempt and waits for its end.
func (r *rig) run(body string, change ...func(*plugin.Attempt)) plugin.Outcome {
	r.t.Helper()
	return r.outcome(r.t, r.give(body, change...))
}

func hard(d time.Duration) func(*plugin.Attempt) { return func(a *plugin.Attempt) { a.Hard = d } }
func soft(d time.Duration) func(*plugin.Attempt) { return func(a *plugin.Attempt) { a.Soft = d } }

// fast gives an attempt a name that is sent ahead after some runs of echo.
func fast(a *plugin.Attempt) { a.Name = "echo" }

// gone waits until a process, not necessarily a child of ours, is no more.
func gone(t testing.TB, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		start, err := proc.StartTime(pid)
		if err != nil || !proc.Alive(pid, start) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d still lives", pid)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func wantFailure(t testing.TB, o plugin.Outcome, class stem.Class, parts ...string) {
	t.Helper()
	if o.Kind != plugin.Failure || o.Error == nil || o.Error.Class != class {
		t.Fatalf("got kind %d, error %+v; want a failure of class %s", o.Kind, o.Error, class)
	}
	for _, part := range parts {
		if !strings.Contains(o.Error.Message, part) {
			t.Errorf("the message %q does not say %q", o.Error.Message, part)
		}
	}
}

func wantNotRun(t testing.TB, o plugin.Outcome, class stem.Class) {
	t.Helper()
	if o.Kind != plugin.NotRun || o.Error == nil || o.Error.Class != class {
		t.Fatalf("got kind %d, error %+v; want not run, class %s", o.Kind, o.Error, class)
	}
}
