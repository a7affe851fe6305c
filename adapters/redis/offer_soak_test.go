package redis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// soak is a namespace at work: what was published of it, what ended, and what somebody took who died.
type soak struct {
	*testing.T
	server *testserver.Redis

	mu     sync.Mutex
	ended  map[string]int
	dead   map[string]bool
	epochs map[string]stem.Epoch
}

var soakQueues = []string{"p", "q", "s"}

// pause is as long as the server takes for up to n answers.
func (s *soak) pause(n int) {
	for range rand.IntN(n) {
		_ = s.server.Client.Ping(s.Context()).Err()
	}
}

// pool is one of a daemon, which goes away again and again while it waits.
func (s *soak) pool(ctx context.Context, store stem.Store, node string) {
	for ctx.Err() == nil {
		c := stem.Claim{Max: 1 + rand.IntN(3), Lease: time.Hour, Owner: node, Wait: patience}
		for _, i := range rand.Perm(len(soakQueues))[:1+rand.IntN(len(soakQueues))] {
			c.Queues = append(c.Queues, stem.QueueLimit{Queue: soakQueues[i]})
		}
		some, leave := context.WithTimeout(ctx, time.Duration(1+rand.IntN(20))*time.Millisecond)
		ds, err := store.Broker.Claim(some, c)
		leave()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			s.Error(err)
		}
		for _, d := range ds {
			s.claimed(d)
			wish := done(d)
			switch rand.IntN(8) {
			case 0:
				wish = stem.Settlement{Receipt: d.Receipt, Kind: stem.Release}
			case 1:
				if lost, err := store.Broker.Extend(s.Context(), stem.Lease{Receipt: d.Receipt, For: time.Hour}); err != nil || len(lost) > 0 {
					s.Errorf("lost %v, %v", lost, err)
				}
			}
			s.settle(store, wish)
		}
	}
}

// claimed demands that a claim has a higher epoch than the last one of its task.
func (s *soak) claimed(d stem.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Receipt.Epoch <= s.epochs[d.ID] {
		s.Errorf("%s: epoch %d after %d", d.ID, d.Receipt.Epoch, s.epochs[d.ID])
	}
	s.epochs[d.ID] = d.Receipt.Epoch
	if again := d.State.Redeliveries; again != 0 && !s.dead[d.ID] || again != 1 && s.dead[d.ID] {
		s.Errorf("%s was delivered again %d times; who took it died: %t", d.ID, again, s.dead[d.ID])
	}
}

func (s *soak) settle(store stem.Store, wish stem.Settlement) {
	errs, err := store.Broker.Settle(s.Context(), wish)
	if err == nil {
		err = errs[0]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.Errorf("%s: %v", wish.Receipt.ID, err)
	} else if wish.Kind == stem.Done {
		s.ended[wish.Receipt.ID]++
	}
}

// reaper takes what is offered again and again, and dies of it.
func (s *soak) reaper(ctx context.Context) {
	wait := []any{"BZPOPMIN"}
	for _, q := range soakQueues {
		wait = append(wait, "{stem}:q:"+q+":o")
	}
	for ctx.Err() == nil {
		s.pause(40)
		if got, err := s.server.Client.Do(s.Context(), append(wait, 0.02)...).Slice(); err == nil {
			s.mu.Lock()
			s.dead[got[1].(string)[10:46]] = true
			s.mu.Unlock()
		}
	}
}

// looker looks at everything, which sorts inboxes.
func (s *soak) looker(ctx context.Context, store stem.Store) {
	for ctx.Err() == nil {
		var err error
		switch inspector := store.Broker.(stem.Inspector); rand.IntN(4) {
		case 0:
			_, err = inspector.Queues(s.Context())
		case 1:
			_, err = inspector.Browse(s.Context(), stem.BrowseQuery{Queue: soakQueues[0]})
		case 2:
			_, err = store.Results.List(s.Context(), stem.StatusQuery{Limit: 5})
		default:
			_, err = store.Broker.(stem.Maintainer).Maintain(s.Context())
		}
		if err != nil {
			s.Error(err)
		}
		s.pause(200)
	}
}

// over is how many tasks nobody of those who work will see again.
func (s *soak) over() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended) + len(s.dead)
}

// Whatever daemons do, go away or die, each task ends once, and is delivered again only if who had it died.
func TestEachOfferEndsOnceWhoeverLeavesOrDies(t *testing.T) {
	t.Parallel()
	const producers, each = 3, 100
	s := &soak{T: t, server: testserver.NewRedis(t), ended: map[string]int{}, dead: map[string]bool{}, epochs: map[string]stem.Epoch{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var working, publishing sync.WaitGroup
	for n := range 2 {
		store := open(t, s.server.URL())
		for range 2 {
			working.Go(func() { s.pool(ctx, store, fmt.Sprintf("node-%d/boot", n)) })
		}
	}
	looker := open(t, s.server.URL())
	working.Go(func() { s.reaper(ctx) })
	working.Go(func() { s.looker(ctx, looker) })
	for range producers {
		store := open(t, s.server.URL())
		publishing.Go(func() {
			for range each {
				m := single(t, stem.Priority(rand.IntN(3)))
				m.Queue = soakQueues[rand.IntN(len(soakQueues))]
				if out, err := store.Broker.Publish(t.Context(), m); err != nil || out[0].State != stem.Accepted {
					t.Errorf("%+v, %v", out, err)
				}
				s.pause(20)
			}
		})
	}
	publishing.Wait()
	until(t, "all is over", func() bool { return s.over() >= producers*each })
	stop()
	working.Wait()
	s.inherit()
	for id, n := range s.ended {
		if n != 1 {
			t.Errorf("%s ended %d times", id, n)
		}
	}
	if died := len(s.dead); len(s.ended) != producers*each || died == 0 || died == producers*each {
		t.Errorf("%d of %d tasks ended; of %d who took one died", len(s.ended), producers*each, died)
	}
	sound(t, s.server)
}

// inherit ends what the dead had, when their leases are over: of what nobody has sorted yet they begin when the heir looks.
func (s *soak) inherit() {
	now := time.Now()
	heir := open(s.T, s.server.URL(), func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	c := stem.Claim{Max: 100, Lease: time.Hour, Owner: owner}
	for _, q := range soakQueues {
		c.Queues = append(c.Queues, stem.QueueLimit{Queue: q})
	}
	for range 2 {
		now = now.Add(2 * stem.DefaultLease)
		for {
			ds, err := heir.Broker.Claim(s.Context(), c)
			if err != nil {
				s.Fatal(err)
			}
			if len(ds) == 0 {
				break
			}
			for _, d := range ds {
				s.claimed(d)
				s.settle(heir, done(d))
			}
		}
	}
}
