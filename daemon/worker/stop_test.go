package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

func TestAWarmStopWaitsForWhatRuns(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(context.Context, plugin.Attempt, plugin.Sink) plugin.Outcome {
			time.Sleep(time.Minute)
			return succeeded()
		}
		d := r.start([]Pool{run.pool("p")})
		for i := range 6 {
			r.put(fmt.Sprint(i), "job")
		}
		r.pass(time.Second)
		r.stop(d, Warm)
		r.queues("default 2/0/0")
		if n := len(run.runs()); n != 4 {
			t.Errorf("ran %v", run.runs())
		}
		for _, id := range run.runs() {
			r.state(id, stem.Succeeded)
		}
	})
}

func TestASoftStopGivesBackWhatDoesNotSucceedAtNoCost(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = func(ctx context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome {
			o := stuck(ctx, a, sink)
			if a.ID == "quick" {
				return succeeded()
			}
			return o
		}
		d := r.start([]Pool{run.pool("p")})
		r.put("quick", "job")
		r.put("slow", "job")
		r.pass(time.Second)
		r.stop(d, Soft)
		r.state("quick", stem.Succeeded)
		if s := r.state("slow", stem.Queued); s.Attempt != 0 {
			t.Errorf("an attempt was spent: %+v", s)
		}
		if !slices.Contains(run.why, "shutdown") {
			t.Errorf("cancelled for %v", run.why)
		}
	})
}

// stubborn is a handler that ends only when it is killed.
func (r *runner) stubborn(_ context.Context, a plugin.Attempt, _ plugin.Sink) plugin.Outcome {
	<-r.killed(a)
	return failed(stem.ClassCrash)
}

func TestAStopEscalatesByTimeAndByASecondRequest(t *testing.T) {
	for name, c := range map[string]struct {
		second Mode
		took   time.Duration
	}{
		"by time":             {Warm, 150*time.Second + 30*time.Second},
		"by a second request": {Hard, time.Second},
		"to soft, then time":  {Soft, time.Second + 30*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(r *rig) {
				run := newRunner("job")
				run.handle = run.stubborn
				d := r.start([]Pool{run.pool("p")})
				r.put("a", "job")
				r.pass(time.Second)
				began := time.Now()
				d.Shutdown(Warm)
				r.pass(time.Second)
				d.Shutdown(c.second)
				if err := <-d.done; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				r.queues("default 1/0/0")
				d.kill()
			})
		})
	}
}

func TestTheEndOfTheContextIsAHardStop(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.handle = stuck
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "job")
		r.pass(time.Second)
		d.kill()
		if err := <-d.done; err != nil {
			t.Error(err)
		}
		r.queues("default 1/0/0")
	})
}

// forgetful is a runner that is gone without a word about what it ran.
type forgetful struct{ *runner }

func (f forgetful) Start([]plugin.Attempt) {}

func TestWhatARunnerNeverReportedIsGivenBack(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		pool := run.pool("p")
		pool.New = func(sink plugin.Sink) Runner { run.sink = sink; return forgetful{run} }
		d := r.start([]Pool{pool})
		r.put("late", "job")
		r.put("early", "job", stem.AcksLate(false))
		r.pass(time.Second)
		r.stop(d, Hard)
		r.queues("default 1/0/0")
		r.dead("early drain")
		if held, err := r.store.Broker.Claim(r.ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: "default"}}, Max: 1, Owner: "o/b"}); err != nil || len(held) != 1 || held[0].State.Redeliveries != 0 {
			t.Errorf("given back as %+v, %v", held, err)
		}
	})
}

// Tasks whose attempts end in every way, daemons that come and go: every task ends exactly once, as its handler says, and the
// counts add up.
func TestNoTaskIsLostOrSettledTwice(t *testing.T) {
	const tasks = 60
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			virtually(t, func(r *rig) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				var odds [1000]int
				for i := range odds {
					odds[i] = rnd.IntN(10)
				}
				var mu sync.Mutex
				thrown, succeededOnce := 0, map[string]int{}
				throw := func() int {
					mu.Lock()
					defer mu.Unlock()
					thrown++
					return odds[thrown%len(odds)]
				}
				handle := func(ctx context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome {
					dice := throw()
					select {
					case <-time.After(time.Duration(dice) * 7 * time.Second):
					case <-ctx.Done():
						return failed(stem.ClassError)
					}
					switch dice {
					case 0:
						return failed(stem.ClassPanic)
					case 1:
						return failed(stem.ClassCollateral)
					case 2:
						return plugin.Outcome{Kind: plugin.NotRun, Error: &stem.TaskError{Class: stem.ClassDrain}}
					case 3:
						o := failed(stem.ClassError)
						o.Snooze = time.Second
						return o
					case 4:
						o := failed(stem.ClassError)
						o.Retry = &plugin.RetryRequest{}
						return o
					}
					mu.Lock()
					succeededOnce[a.ID]++
					mu.Unlock()
					return succeeded()
				}
				for i := range tasks {
					r.put(fmt.Sprint(i), "job", stem.MaxRetries(1000), stem.AcksLate(i%10 != 0),
						stem.RetryWith(stem.RetryPolicy{DefaultDelay: time.Second}))
				}
				var done, dead uint64
				for boot := 0; ; boot++ {
					run := newRunner("job")
					run.handle = handle
					d := r.start([]Pool{run.pool("p")})
					r.pass(time.Duration(rnd.IntN(60)+20) * time.Second)
					r.stop(d, Mode(rnd.IntN(3)+1))
					s := d.Stats()
					if s.Running != 0 || s.Settling != 0 || s.Claimed != s.Succeeded+s.Retried+s.Dead+s.Cancelled+s.Held+s.Released+s.Parked+s.Moved+s.LeasesLost {
						t.Fatalf("counts do not add up: %+v", s)
					}
					done, dead = done+s.Succeeded, dead+s.Dead
					if done+dead >= tasks || boot > 200 {
						break
					}
				}
				synctest.Wait()
				letters, err := r.look.DeadLetters(r.ctx, stem.DeadLetterQuery{Limit: 1000})
				if err != nil || uint64(len(letters.Items)) != dead || done+dead != tasks {
					t.Fatalf("%d done, %d dead of %d, %d letters (%v)", done, dead, tasks, len(letters.Items), err)
				}
				for i := range tasks {
					id := fmt.Sprint(i)
					n := succeededOnce[id]
					if early := i%10 == 0; n > 1 || !early && n != 1 {
						t.Errorf("task %s succeeded %d times", id, n)
					}
				}
				r.queues()
			})
		})
	}
}
