package worker

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// parted is a broker in parts: one queue of it can stop answering.
type parted struct {
	stem.Broker
	queue string
	down  atomic.Bool
	near  atomic.Int64 // leases in other queues that were renewed
}

func (p *parted) far(queue string) bool { return p.down.Load() && queue == p.queue }

func (p *parted) unreachable() error { return fmt.Errorf("%w: %w", stem.ErrUnreachable, errDown) }

func (p *parted) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	near := c
	near.Queues = nil
	for _, q := range c.Queues {
		if !p.far(q.Queue) {
			near.Queues = append(near.Queues, q)
		}
	}
	ds, err := p.Broker.Claim(ctx, near)
	if err == nil && len(ds) == 0 && len(near.Queues) < len(c.Queues) {
		err = p.unreachable()
	}
	return ds, err
}

func (p *parted) Settle(ctx context.Context, s ...stem.Settlement) ([]error, error) {
	errs := make([]error, len(s))
	for i := range s {
		if errs[i] = p.unreachable(); !p.far(s[i].Receipt.Queue) {
			one, err := p.Broker.Settle(ctx, s[i])
			if err != nil {
				return nil, err
			}
			errs[i] = one[0]
		}
	}
	if !slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, stem.ErrUnreachable) }) {
		return nil, errs[0] // as there is nothing else to tell
	}
	return errs, nil
}

func (p *parted) Extend(ctx context.Context, leases ...stem.Lease) ([]stem.Receipt, error) {
	for _, l := range leases {
		if p.far(l.Receipt.Queue) {
			return nil, p.unreachable()
		}
	}
	for _, l := range leases {
		if l.Receipt.Queue != p.queue {
			p.near.Add(1)
		}
	}
	return p.Broker.Extend(ctx, leases...)
}

func TestWhileAPartOfTheStoreIsAwayTheLeasesOfOthersAreRenewedAsEver(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.slots = 3
		run.handle = func(context.Context, plugin.Attempt, plugin.Sink) plugin.Outcome {
			time.Sleep(5 * time.Minute)
			return succeeded()
		}
		broker := &parted{Broker: r.store.Broker, queue: "far"}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p", func(p *Pool) { p.Queues = map[string]int{"near": 1, "far": 1} })})
		r.put("far", "job", stem.Queue("far"))
		r.put("near", "job", stem.Queue("near"))
		renewed := func() int64 {
			before := broker.near.Load()
			r.pass(2 * time.Minute)
			return broker.near.Load() - before
		}
		whole := renewed()
		broker.down.Store(true)
		if parted := renewed(); whole == 0 || parted > 2*whole {
			t.Errorf("the other queue's lease was renewed %d times in two minutes, and before %d times", parted, whole)
		}
		broker.down.Store(false)
		r.pass(6 * time.Minute)
		r.state("far", stem.Succeeded)
		r.stop(d, Warm)
	})
}

func TestAPartOfTheStoreThatDoesNotAnswerHoldsUpNoOther(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("job")
		run.slots = 2
		run.handle = func(_ context.Context, a plugin.Attempt, _ plugin.Sink) plugin.Outcome {
			time.Sleep(2 * time.Second)
			if strings.HasPrefix(a.ID, "long") {
				time.Sleep(2 * time.Minute)
			}
			return succeeded()
		}
		broker := &parted{Broker: r.store.Broker, queue: "far"}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p", func(p *Pool) { p.Queues = map[string]int{"near": 1, "far": 1} })})
		r.put("far", "job", stem.Queue("far"))
		r.pass(time.Second)
		broker.down.Store(true)
		for i := range 10 {
			r.put(fmt.Sprintf("near-%d", i), "job", stem.Queue("near"))
		}
		r.pass(12 * time.Second)
		for i := range 10 {
			r.state(fmt.Sprintf("near-%d", i), stem.Succeeded)
		}
		if s := d.Stats(); s.Settling != 1 || s.LeasesLost != 0 {
			t.Errorf("stats are %+v", s)
		}
		r.put("long", "job", stem.Queue("near"))
		r.pass(5 * time.Minute)
		r.state("long", stem.Succeeded)
		broker.down.Store(false)
		r.pass(5 * time.Second)
		r.state("far", stem.Succeeded)
		if n := len(run.runs()); n != 12 {
			t.Errorf("%d runs of 12 tasks: %v", n, run.runs())
		}
		if n := strings.Count(r.logged(), "connection refused"); n > 4 {
			t.Errorf("%d lines about one outage:\n%s", n, r.logged())
		}
		r.stop(d, Warm)
	})
}

// ReleaseOwner implements stem.Takeover.
func (p *parted) ReleaseOwner(ctx context.Context, owner string) (int, error) {
	if p.down.Load() {
		return 0, p.unreachable()
	}
	return p.Broker.(stem.Takeover).ReleaseOwner(ctx, owner)
}

func TestADaemonStartsThoughAPartOfTheStoreKeepsWhatItsPredecessorHeld(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	virtually(t, func(r *rig) {
		r.predecessor(gone.Process.Pid, 1)
		broker := &parted{Broker: r.store.Broker, queue: "far"}
		broker.down.Store(true)
		r.store.Broker = broker
		d := r.start([]Pool{newRunner("job").pool("p")})
		r.put("other", "job")
		r.pass(time.Second)
		r.state("other", stem.Succeeded)
		r.says("runs again when its leases end")
		r.pass(2 * time.Hour)
		r.state("held", stem.Succeeded)
		r.stop(d, Warm)
	})
}

// vanished is a broker of which no part answers for a while.
type vanished struct {
	stem.Broker
	down   atomic.Bool
	claims atomic.Int64
}

func (v *vanished) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	if v.down.Load() {
		v.claims.Add(1)
		return nil, fmt.Errorf("%w: %w", stem.ErrUnreachable, errDown)
	}
	return v.Broker.Claim(ctx, c)
}

func TestAStoreOfWhichNoPartAnswersIsAskedLessAndLessOften(t *testing.T) {
	virtually(t, func(r *rig) {
		broker := &vanished{Broker: r.store.Broker}
		r.store.Broker = broker
		run := newRunner("job")
		d := r.start([]Pool{run.pool("p")})
		r.pass(time.Second)
		broker.down.Store(true)
		r.pass(2 * time.Minute)
		if n := broker.claims.Load(); n < 60 || n > 300 { // two loops, at most two seconds apart
			t.Errorf("it was asked %d times in two minutes", n)
		}
		broker.down.Store(false)
		r.put("a", "job")
		r.pass(4 * time.Second)
		r.state("a", stem.Succeeded)
		r.stop(d, Warm)
	})
}

// counted is a parted broker whose queues can be counted.
type counted struct {
	*parted
	stem.Inspector
}

func (c counted) Queues(ctx context.Context) ([]stem.QueueCounts, error) {
	counts, err := c.Inspector.Queues(ctx)
	if c.down.Load() {
		err = c.unreachable()
	}
	return slices.DeleteFunc(counts, func(q stem.QueueCounts) bool { return c.far(q.Queue) }), err
}

// scaling is a runner that is told its backlog.
type scaling struct {
	*runner
	depth atomic.Int64
}

func (s *scaling) Scales() bool      { return true }
func (s *scaling) Backlog(depth int) { s.depth.Store(int64(depth)) }

func TestAPoolGrowsByWhatWaitsInThePartsOfTheStoreThatAnswer(t *testing.T) {
	virtually(t, func(r *rig) {
		broker := &parted{Broker: r.store.Broker, queue: "far"}
		r.store.Broker = counted{broker, r.store.Broker.(stem.Inspector)}
		busy, idle := &scaling{runner: newRunner("job")}, &scaling{runner: newRunner("other")}
		busy.slots = 0
		pool := func(s *scaling, name string, queues map[string]int) Pool {
			p := s.pool(name, func(p *Pool) { p.Queues = queues })
			own := p.New
			p.New = func(sink plugin.Sink) Runner { own(sink); return s }
			return p
		}
		d := r.start([]Pool{pool(busy, "busy", map[string]int{"near": 1, "far": 1}), pool(idle, "idle", map[string]int{"none": 1})})
		r.put("a", "job", stem.Queue("near"))
		r.put("b", "job", stem.Queue("far"))
		for _, step := range []struct {
			down       bool
			busy, idle int64
		}{{false, 2, 0}, {true, 1, -1}} {
			broker.down.Store(step.down)
			r.pass(10 * time.Second)
			if busy.depth.Load() != step.busy || idle.depth.Load() != step.idle {
				t.Errorf("a part is away: %t, and the pools are told %d and %d", step.down, busy.depth.Load(), idle.depth.Load())
			}
		}
		broker.down.Store(false)
		r.stop(d, Warm)
	})
}
