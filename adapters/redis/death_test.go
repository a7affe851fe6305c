package redis_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// deathbed is a Cluster on which processes die, each at another byte, and one that lives looks at what is left.
type deathbed struct {
	*testing.T
	url   string
	calm  stem.Store
	clock time.Time
	n     int
	seed  uint64
}

func newDeathbed(t *testing.T) *deathbed {
	t.Parallel()
	b := &deathbed{T: t, url: testserver.NewCluster(t).URL(), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), seed: rand.Uint64N(1 << 40)}
	t.Logf("seed %d", b.seed)
	b.calm = open(t, b.url, b.now)
	if redis.LaneOf("from") == redis.LaneOf("to") || redis.LaneOf("to") == redis.LaneOf("other") {
		t.Fatal("the queues lie together")
	}
	return b
}

func (b *deathbed) now(o *stem.StoreOptions) { o.Now = func() time.Time { return b.clock } }

// rounds has processes do something, each with an id of its own, and die at a random byte of it. After each the clock goes on until no
// lease lasts.
func (b *deathbed) rounds(before func(id string), do func(s stem.Store, id string), after func(id string)) {
	b.Helper()
	chance := rand.New(rand.NewPCG(b.seed, 0))
	whole := 0
	for round := range 4 * killRounds(b.T) {
		b.n++
		id := fmt.Sprintf("task-%04d", b.n)
		before(id)
		s, m := openMortal(b.T, b.url, b.now)
		if _, err := s.Results.Load(b.Context(), "nobody"); err != nil { // it knows the Cluster now
			b.Fatal(err)
		}
		m.die(-1)
		if round > 0 {
			m.die(chance.IntN(whole))
		}
		do(s, id)
		if whole = max(whole, m.bytes()); whole < 500 {
			b.Fatalf("only %d bytes passed: it does nothing through its connections", whole)
		}
		_ = s.Close()
		b.clock = b.clock.Add(2 * time.Minute)
		after(id)
		if b.Failed() {
			b.Fatalf("round %d, %s", round, id)
		}
	}
}

func (b *deathbed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *deathbed) publish(msgs ...stem.Message) {
	b.Helper()
	out, err := b.calm.Broker.Publish(b.Context(), msgs...)
	b.must(err)
	for _, p := range out {
		if p.State != stem.Accepted {
			b.Fatalf("published %+v", p)
		}
	}
}

func claimOf(queues ...string) stem.Claim {
	c := stem.Claim{Max: 100, Owner: owner, Lease: time.Minute}
	for _, q := range queues {
		c.Queues = append(c.Queues, stem.QueueLimit{Queue: q})
	}
	return c
}

// run claims and ends what is in queues, and gives the ids.
func (b *deathbed) run(queues ...string) (ids []string) {
	b.Helper()
	ds, err := b.calm.Broker.Claim(b.Context(), claimOf(queues...))
	b.must(err)
	for _, d := range ds {
		end := done(d)
		end.Result.TTL = 100 * 24 * time.Hour
		errs, err := b.calm.Broker.Settle(b.Context(), end)
		b.must(err)
		b.must(errs[0])
		ids = append(ids, d.ID)
	}
	return ids
}

// maintain is what daemons do while nobody works.
func (b *deathbed) maintain() {
	b.Helper()
	for range 3 {
		_, err := b.calm.Broker.(stem.Maintainer).Maintain(b.Context())
		b.must(err)
		b.clock = b.clock.Add(3 * time.Minute)
	}
}

func (b *deathbed) ended(id string, want stem.TaskState) {
	b.Helper()
	s, err := b.calm.Results.Load(b.Context(), id)
	b.must(err)
	if s[0] == nil || s[0].State != want {
		b.Errorf("%s is %+v, want %s", id, s[0], want)
	}
}

// keyed is a message of a queue with a unique key of its own.
func (b *deathbed) keyed(queue, id string) stem.Message {
	m := in(b.T, queue, id)
	m.Unique = stem.Reservation{Key: "key of " + id, For: time.Hour}
	return m
}

// free says that the key of a task can be had.
func (b *deathbed) free(id string) {
	b.Helper()
	m := b.keyed("other", "after-"+id)
	m.Unique.Key = "key of " + id
	b.publish(m)
	if ids := b.run("other"); len(ids) != 1 {
		b.Errorf("ran %v", ids)
	}
}

func TestAMoverOnAClusterThatDiesAtAnyByteMovesItsTaskOnce(t *testing.T) {
	b := newDeathbed(t)
	chance := rand.New(rand.NewPCG(b.seed, 1))
	b.rounds(func(id string) { b.publish(b.keyed("from", id)) }, func(s stem.Store, id string) {
		if ds, err := s.Broker.Claim(t.Context(), claimOf("from")); err == nil && len(ds) == 1 {
			_, _ = s.Broker.Settle(t.Context(), stem.Settlement{
				Receipt: ds[0].Receipt, Kind: stem.Move, Queue: "to", Then: []stem.Message{in(t, "children", "child-"+id)},
			})
		}
	}, func(id string) {
		steps := []func() []string{
			func() []string { return b.run("to") },
			func() []string { b.clock = b.clock.Add(72 * time.Hour); return nil },
			func() []string { b.maintain(); return nil },
			func() []string { return b.run("from") },
		}
		some := steps[2*chance.IntN(2):] // the first two in this order are the worst
		chance.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		var ran []string
		for _, step := range steps {
			ran = append(ran, step()...)
		}
		b.maintain()
		ran = append(ran, b.run("from", "to")...)
		b.maintain()
		if ran = append(ran, b.run("from", "to")...); len(ran) != 1 || ran[0] != id {
			b.Errorf("ran %v", ran)
		}
		b.ended(id, stem.Succeeded)
		b.free(id)
		b.run("children")
	})
}

func TestAPurgeOnAClusterThatDiesAtAnyByteCountsWhatItHasCancelled(t *testing.T) {
	b := newDeathbed(t)
	members := func(id string) (ids []string) {
		for i := range 5 {
			ids = append(ids, fmt.Sprintf("%s-%d", id, i))
		}
		return ids
	}
	b.rounds(func(id string) {
		b.must(b.calm.Results.OpenGroups(t.Context(), stem.Group{ID: id, Members: members(id)}))
		for _, member := range members(id) {
			h := stem.NewHeader("test.task", stem.TaskID(member), stem.Queue("from"))
			h.Canvas.GroupID = id
			m, err := stem.BuildMessage("stem", h, nil)
			b.must(err)
			b.publish(m)
		}
	}, func(s stem.Store, _ string) {
		_, _ = s.Broker.(stem.Inspector).Purge(t.Context(), "from")
	}, func(id string) {
		b.maintain()
		left := b.run("from")
		groups, err := b.calm.Results.LoadGroups(t.Context(), id)
		b.must(err)
		if groups[0] == nil || len(groups[0].Ended)+len(left) != 5 {
			b.Errorf("the group is %+v, and there was still %v", groups[0], left)
			return
		}
		for member := range groups[0].Ended {
			b.ended(member, stem.Cancelled)
		}
	})
}

func TestAReplayOnAClusterThatDiesAtAnyByteLeavesALetterOrATask(t *testing.T) {
	b := newDeathbed(t)
	b.rounds(func(id string) {
		b.publish(b.keyed("from", id))
		ds, err := b.calm.Broker.Claim(t.Context(), claimOf("from"))
		b.must(err)
		errs, err := b.calm.Broker.Settle(t.Context(), stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Dead})
		b.must(err)
		b.must(errs[0])
	}, func(s stem.Store, id string) {
		_, _ = s.Broker.(stem.Inspector).Replay(t.Context(), stem.Replay{DeadLetterQuery: stem.DeadLetterQuery{IDs: []string{id}, Limit: 1}})
	}, func(id string) {
		b.maintain()
		inspector := b.calm.Broker.(stem.Inspector)
		page, err := inspector.DeadLetters(t.Context(), stem.DeadLetterQuery{})
		b.must(err)
		ran := b.run("from")
		if len(page.Items)+len(ran) != 1 {
			b.Errorf("letters %v, ran %v", page.Items, ran)
		}
		if len(ran) == 1 {
			b.ended(id, stem.Succeeded)
		}
		_, err = inspector.PurgeDeadLetters(t.Context(), stem.DeadLetterQuery{})
		b.must(err)
		b.free(id)
	})
}

func TestAProducerOnAClusterThatDiesAtAnyByteLeavesItsIDAndItsKeyToTheTaskOrToOthers(t *testing.T) {
	b := newDeathbed(t)
	b.rounds(func(string) {}, func(s stem.Store, id string) {
		_, _ = s.Broker.Publish(t.Context(), b.keyed("from", id))
	}, func(id string) {
		b.maintain()
		ran := b.run("from")
		out, err := b.calm.Broker.Publish(t.Context(), in(t, "to", id))
		b.must(err)
		if accepted := out[0].State == stem.Accepted; accepted == (len(ran) == 1) {
			b.Errorf("ran %v, its id again gave %+v", ran, out[0])
		}
		b.run("to")
		b.free(id)
	})
}
