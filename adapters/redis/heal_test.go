package redis_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// traffic is a producer and a worker that go on whatever the server does, as a client and a daemon do: what fails is tried again.
type traffic struct {
	*testing.T
	store  stem.Store
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	accepted []string
	ended    map[string]int // how often each was settled
	failures int
}

func newTraffic(t *testing.T, url string) *traffic { return newCrowd(t, url, 1, 1) }

// newCrowd is so many producers that publish batches of so many, and as many workers.
func newCrowd(t *testing.T, url string, each, batch int) *traffic {
	ctx, cancel := context.WithCancel(t.Context())
	f := &traffic{T: t, store: open(t, url), cancel: cancel, ended: map[string]int{}}
	for i := range each {
		f.done.Go(func() { f.produce(ctx, fmt.Sprintf("task-%d", i), batch) })
		f.done.Go(func() { f.work(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		f.done.Wait()
	})
	return f
}

func (f *traffic) produce(ctx context.Context, name string, batch int) {
	for n := 0; ctx.Err() == nil; n++ {
		var msgs []stem.Message
		for i := range batch {
			msgs = append(msgs, message(f, fmt.Sprintf("%s-%06d-%d", name, n, i)))
		}
		for ctx.Err() == nil {
			if published, err := f.store.Broker.Publish(ctx, msgs...); err == nil {
				f.note(func() {
					for _, p := range published {
						f.accepted = append(f.accepted, p.ID)
					}
				})
				break
			}
			f.pause(ctx)
		}
	}
}

func (f *traffic) work(ctx context.Context) {
	for ctx.Err() == nil {
		c := ask(2 * time.Second)
		c.Max, c.Wait = 10, time.Second
		ds, err := f.store.Broker.Claim(ctx, c)
		if err != nil {
			f.pause(ctx)
		}
		f.settle(ctx, ds)
	}
}

// settle repeats settlements until the server has answered.
func (f *traffic) settle(ctx context.Context, ds []stem.Delivery) {
	var settlements []stem.Settlement
	for _, d := range ds {
		settlements = append(settlements, done(d))
	}
	for len(ds) > 0 && ctx.Err() == nil {
		errs, err := f.store.Broker.Settle(ctx, settlements...)
		if err == nil {
			f.note(func() {
				for i, err := range errs {
					if err == nil {
						f.ended[ds[i].ID]++
					}
				}
			})
			return
		}
		f.pause(ctx)
	}
}

func (f *traffic) pause(ctx context.Context) {
	f.note(func() { f.failures++ })
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

func (f *traffic) note(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// flows waits until n more tasks have been settled.
func (f *traffic) flows(n int) {
	f.Helper()
	count := func() (sum int) {
		f.note(func() { sum = len(f.ended) })
		return sum
	}
	from := count()
	until(f.T, "tasks are settled again", func() bool { return count() >= from+n })
}

// complete ends the producer and waits until everything that was accepted has a result.
func (f *traffic) complete() {
	f.Helper()
	f.flows(20)
	f.cancel()
	f.done.Wait()
	ids := f.accepted
	until(f.T, "every accepted task has ended", func() bool {
		ds, err := f.store.Broker.Claim(f.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: 100, Owner: owner})
		if err != nil {
			return false
		}
		f.settle(f.Context(), ds)
		if len(ds) > 0 && len(ids) > 1000 {
			return false // ask for that many only when nothing is left
		}
		statuses, err := f.store.Results.Load(f.Context(), ids...)
		if err != nil {
			return false
		}
		for _, s := range statuses {
			if s == nil {
				f.Fatal("a task that was accepted is gone")
			}
			if s.State != stem.Succeeded {
				return false
			}
		}
		return true
	})
	f.Logf("%d tasks, %d calls failed on the way", len(ids), f.failures)
}

// once says that nothing was settled twice.
func (f *traffic) once() {
	f.Helper()
	for id, n := range f.ended {
		if n > 1 {
			f.Errorf("%s was settled %d times", id, n)
		}
	}
}

func TestWorkGoesOnAfterEverythingWasFlushed(t *testing.T) {
	server := testserver.NewRedis(t)
	f := newTraffic(t, server.URL())
	f.flows(20)
	if err := server.Client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.flows(50)
	if err := server.Client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.flows(50)
	if f.failures > 0 {
		t.Errorf("%d calls failed: scripts and structures come back by themselves", f.failures)
	}
}

// Scripts are forgotten each time after some tasks, while several call many of them at once.
func TestWorkGoesOnWhileScriptsAreFlushedAgainAndAgain(t *testing.T) {
	t.Parallel()
	single, cluster := testserver.NewRedis(t), testserver.NewCluster(t)
	for url, servers := range map[string][]*testserver.Redis{single.URL(): {single}, cluster.URL(): cluster.Nodes} {
		t.Run(fmt.Sprintf("of %d", len(servers)), func(t *testing.T) {
			f := newCrowd(t, url, 3, 5)
			for range 20 {
				for _, server := range servers {
					if err := server.Client.ScriptFlush(t.Context()).Err(); err != nil {
						t.Fatal(err)
					}
				}
				f.flows(10)
			}
			f.note(func() {
				if f.failures > 0 {
					t.Errorf("%d calls failed: scripts come back by themselves", f.failures)
				}
			})
			f.complete()
			f.once()
		})
	}
}

func TestAClaimThatWasFlushedIsALostLease(t *testing.T) {
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	if _, err := store.Broker.Publish(t.Context(), message(t, "a")); err != nil {
		t.Fatal(err)
	}
	ds, err := store.Broker.Claim(t.Context(), ask(time.Minute))
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	if err := server.Client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if lost, err := store.Broker.Extend(t.Context(), stem.Lease{Receipt: ds[0].Receipt, For: time.Minute}); err != nil || len(lost) != 1 {
		t.Errorf("extending gave %+v, %v", lost, err)
	}
	errs, err := store.Broker.Settle(t.Context(), done(ds[0]))
	if err != nil {
		t.Fatal(err)
	}
	wants(t, errs[0], stem.ErrLeaseLost, "")
	roundTrip(t, store)
}

// A server that is slow to read its data answers LOADING for as long.
func TestWorkGoesOnAfterARestartThatTookItsTime(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t, "appendfsync always", "key-load-delay 500", "loading-process-events-interval-bytes 1024")
	f := newTraffic(t, server.URL())
	f.flows(200)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Launch(); err != nil {
		t.Fatal(err)
	}
	until(t, "the server reads its data", func() bool { return strings.HasPrefix(server.Answer(), "-LOADING") })
	f.complete()
	f.once()
}

func TestAStoreIsNotOpenedBeforeItsServerHasReadItsData(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t, testserver.SlowToRead()...)
	if err := server.Burden(t.Context(), "burden:"); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Launch(); err != nil {
		t.Fatal(err)
	}
	until(t, "the server reads its data", func() bool { return strings.HasPrefix(server.Answer(), "-LOADING") })
	_, err := redis.Open(t.Context(), server.URL())
	wants(t, err, stem.ErrStarting, "still reading its data")
	until(t, "it has read them", func() bool { return strings.HasPrefix(server.Answer(), "+PONG") })
	if w := open(t, server.URL()).Info.Warnings; len(w) > 0 {
		t.Errorf("warnings %q", w)
	}
}

func TestWorkGoesOnAfterAPausedServerIsResumed(t *testing.T) {
	server := testserver.NewRedis(t)
	f := newTraffic(t, server.URL())
	f.flows(20)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	f.complete()
	f.once()
}

func TestWorkGoesOnAtTheNewPrimaryAfterAFailover(t *testing.T) {
	t.Parallel()
	s := testserver.NewSentinel(t)
	f := newTraffic(t, s.URL()+"&wait_replicas=1")
	f.flows(20)
	if err := s.Failover(t.Context()); err != nil { // the old primary lives on and answers READONLY
		t.Fatal(err)
	}
	f.complete() // a settlement that the replica had not got is done again, as documented
}

func TestWorkGoesOnWhenThePrimaryDiesForGood(t *testing.T) {
	t.Parallel()
	for how, silent := range waysToLeave {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := testserver.NewSentinel(t)
			old, err := s.Primary(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f := newTraffic(t, s.URL())
			f.flows(20)
			begone := old.Kill
			if silent {
				begone = old.Pause
			}
			if err := begone(); err != nil {
				t.Fatal(err)
			}
			if err := s.Promoted(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			f.flows(50) // what the replica had not got is lost, as documented
		})
	}
}

func TestWorkGoesOnAtTheReplicaOfANodeThatDiesForGood(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"a namespace on one node": "&spread=off", "a spread namespace": ""} {
		for how, silent := range waysToLeave {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				c := testserver.NewCluster(t)
				f := newTraffic(t, c.URL()+options)
				tag := "{stem}"
				if options == "" {
					tag = "{stem{q:" + redis.LaneOf(queue) + "}"
				}
				primary, err := c.Owner(t.Context(), tag)
				if err != nil {
					t.Fatal(err)
				}
				replica, err := c.AddReplica(t.Context(), primary)
				if err != nil {
					t.Fatal(err)
				}
				f.flows(20)
				begone := primary.Kill
				if silent {
					begone = primary.Pause
				}
				if err := begone(); err != nil {
					t.Fatal(err)
				}
				if err := c.Promoted(t.Context(), replica); err != nil {
					t.Fatal(err)
				}
				f.flows(50) // what the replica had not got is lost, as documented
			})
		}
	}
}

func TestWorkGoesOnWhileSlotsMove(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options string
		tags    []string
	}{
		"of a namespace on one node": {"&spread=off", []string{"{stem}", "{stem}", "{stem}"}},
		"of a spread namespace":      {"", []string{"{stem{q:" + redis.LaneOf(queue) + "}", "{stem{r:07}", "{stem{d:07}", "{stem{q:" + redis.LaneOf(queue) + "}"}},
	} {
		t.Run(name, func(t *testing.T) { moveSlots(t, c.options, c.tags) })
	}
}

// moveSlots has the slots of these tags move to another node under traffic.
func moveSlots(t *testing.T, options string, tags []string) {
	c := testserver.NewCluster(t)
	f := newTraffic(t, c.URL()+options)
	f.flows(50)
	for _, tag := range tags {
		m, err := c.Migrate(t.Context(), tag)
		if err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			if more, err = m.Move(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.flows(50)
	}
	f.complete()
	f.once()
}
