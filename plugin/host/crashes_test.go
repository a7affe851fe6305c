package host_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

// rounds is how many crashes a property is tried on: STEM_TEST_ROUNDS, 150 by default.
func rounds(t *testing.T) int {
	s := os.Getenv("STEM_TEST_ROUNDS")
	if s == "" {
		return 150
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("STEM_TEST_ROUNDS=%s: want a number of crashes", s)
	}
	return n
}

// deadly are the bodies of tasks that kill their process.
var deadly = []string{"exit", "kill", "signal", "segfault", "panic-elsewhere keys", "late-exit"}

// worker hands tasks to a pool as a worker does: what has not run is handed over again in another epoch, what has ended is checked.
type worker struct {
	plugin.Sink // nil: nothing else is called
	pool        *host.Pool
	wake        chan struct{}

	mu      sync.Mutex
	todo    []plugin.Attempt
	state   map[string]plugin.Attempt // handed over
	crashed int
	ended   int
	moved   time.Time
	wrong   []string
	retries int // of what kills, at once
}

func (w *worker) Ready() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
func (w *worker) Log(plugin.Attempt, plugin.LogRecord) {}

func (w *worker) Done(outcomes []plugin.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range outcomes {
		a, ours := w.state[o.Attempt.ID]
		if !ours || a.Epoch != o.Attempt.Epoch {
			w.wrong = append(w.wrong, fmt.Sprintf("%s, epoch %d, ended twice or was never started", o.Attempt.ID, o.Attempt.Epoch))
			continue
		}
		delete(w.state, a.ID)
		kills := a.Queue == "deadly"
		switch {
		case o.Kind == plugin.NotRun:
			a.Epoch++
			w.todo = append(w.todo, a)
			continue
		case o.Kind == plugin.Failure && !kills:
			w.wrong = append(w.wrong, fmt.Sprintf("an innocent lost an attempt: %s: %s: %s", a.ID, o.Error.Class, o.Error.Message))
		case o.Kind == plugin.Failure && o.Error.Class != stem.ClassCrash && o.Error.Class != stem.ClassExit:
			w.wrong = append(w.wrong, fmt.Sprintf("%s is blamed with class %s", a.Body, o.Error.Class))
		case o.Kind == plugin.Success && kills:
			w.wrong = append(w.wrong, fmt.Sprintf("%s (%s) succeeded", a.ID, a.Body))
		}
		if kills {
			w.crashed++
			if a.Attempt < w.retries {
				a.Attempt++
				a.Epoch++
				w.todo = append([]plugin.Attempt{a}, w.todo...)
				continue
			}
		}
		w.ended++
		w.moved = time.Now()
	}
	w.Ready()
}

// feed starts what there is room for, until ctx ends.
func (w *worker) feed(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		w.mu.Lock()
		n := min(w.pool.Free(), len(w.todo))
		batch := w.todo[:n:n]
		w.todo = w.todo[n:]
		for _, a := range batch {
			w.state[a.ID] = a
		}
		w.mu.Unlock()
		if n > 0 {
			w.pool.Start(batch)
		}
	}
}

// run works through all there is to do in a pool of fixtures and says what went wrong.
func (w *worker) run(t *testing.T, cfg host.Config) {
	t.Helper()
	cfg.Name, cfg.Command, cfg.Dir, cfg.Env = "media", []string{os.Args[0], ""}, shortDir(t), []string{"GORACE"}
	pool, err := host.New(cfg, w, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	all := len(w.todo)
	w.pool = pool
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { w.feed(ctx) })
	parts.Go(func() {
		if err := pool.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer parts.Wait()
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		w.Ready()
		w.mu.Lock()
		ended, still, wrong := w.ended, time.Since(w.moved), len(w.wrong)
		w.mu.Unlock()
		if ended == all || wrong > 0 {
			break
		}
		if still > patience {
			t.Fatalf("stuck: %d of %d ended; the pool says %+v", ended, all, pool.Stats())
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range w.wrong {
		t.Error(line)
	}
	t.Logf("%d tasks, %d crashes, %d processes", w.ended, w.crashed, pool.Stats().Restarts)
}

func TestOverManyRandomCrashesTheBlamedOneIsTheOneThatCrashed(t *testing.T) {
	for name, cfg := range map[string]host.Config{
		"one at a time, sent ahead": {PerProcess: 1, SendAhead: 16, Processes: host.Processes{Max: 2}},
		"64 in a process":           {PerProcess: 64, SendAhead: 32, Processes: host.Processes{Max: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 1))
			cfg.Restart = host.Restart{Delay: time.Millisecond, MaxDelay: 4 * time.Millisecond}
			w := &worker{wake: make(chan struct{}, 1), state: map[string]plugin.Attempt{}, moved: time.Now()}
			crashes := rounds(t)
			for len(w.todo) < 20*crashes {
				a := plugin.Attempt{ID: fmt.Sprint("t", len(w.todo)), Name: "work", Epoch: 1, Queue: "innocent", Body: []byte("echo x")}
				switch random.IntN(20) {
				case 0:
					a.Queue, a.Body = "deadly", []byte(deadly[random.IntN(len(deadly))])
				case 1, 2, 3:
					a.Body = []byte(fmt.Sprintf("stubborn %dus", random.IntN(3000)))
				}
				w.todo = append(w.todo, a)
			}
			w.run(t, cfg)
			if w.crashed < crashes/2 {
				t.Errorf("%d crashes show little", w.crashed)
			}
		})
	}
}
