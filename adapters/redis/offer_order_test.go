package redis_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// offered is what is offered in the queue, the next one first.
func offered(t *testing.T, server *testserver.Redis) (ids []string) {
	t.Helper()
	items, err := server.Client.ZRange(t.Context(), "{stem}:q:"+queue+":o", 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		ids = append(ids, item[10:46])
	}
	return ids
}

func TestOffersStandByPriorityAndThenByAge(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	var want []string
	for _, priority := range []int{5, 9, 0, 5, 9} {
		m := single(t, stem.Priority(priority))
		publish(t, open(t, server.URL()), m) // each knows of none before
		want = append(want, m.ID)
	}
	want = []string{want[1], want[4], want[0], want[3], want[2]}
	if got := offered(t, server); !slices.Equal(got, want) {
		t.Errorf("offered are %v, want %v", got, want)
	}
	claimsOnly(t, open(t, server.URL()), want)
}

// Who waits at once is given the most urgent of what is there, also if that is not offered because there was something before.
func TestWhoWaitsIsGivenTheMostUrgentTask(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]int{"an offer": 1, "one that is not offered": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testserver.NewRedis(t)
			producer, taker := open(t, server.URL()), open(t, server.URL())
			for range before {
				publish(t, producer, single(t))
			}
			urgent := single(t, stem.Priority(9))
			publish(t, producer, urgent)
			if is := slices.Contains(offered(t, server), urgent.ID); is != (before == 1) {
				t.Fatalf("it is offered: %t", is)
			}
			redis.Expectant(taker, queue)
			c := ask(time.Minute)
			c.Wait = patience
			ds, err := taker.Broker.Claim(t.Context(), c)
			if err != nil || len(ds) != 1 || ds[0].ID != urgent.ID {
				t.Errorf("claimed %v, %v, want %s", idsOf(ds), err, urgent.ID)
			}
		})
	}
}

// A producer's reckoning of the server's time jumps by as long as an answer was on its way.
func TestTheOffersOfOneProducerKeepTheirOrderThoughItsReckoningStepsBack(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	producer := open(t, server.URL())
	elsewhere := single(t)
	elsewhere.Queue = "elsewhere"
	publish(t, producer, elsewhere) // it knows the time
	first, second := single(t), single(t)
	publish(t, producer, first)
	redis.SetBack(producer, time.Second)
	publish(t, producer, second)
	want := []string{first.ID, second.ID}
	if got := offered(t, server); !slices.Equal(got, want) {
		t.Errorf("offered are %v, want %v", got, want)
	}
	claimsOnly(t, producer, want)
}

// Each task of a stream is offered to who waits, who so need not look for himself; of what becomes due another was told, who is gone.
func TestAStreamOfOffersDoesNotKeepBackWhatBecomesDue(t *testing.T) {
	t.Parallel()
	for late, queues := range map[string][]string{queue: {queue}, "before": {"before", queue}, "behind": {queue, "behind"}} {
		t.Run(strings.Join(queues, ", "), func(t *testing.T) {
			t.Parallel()
			server := testserver.NewRedis(t)
			producer, taker := open(t, server.URL()), open(t, server.URL())
			due := in(t, late, "due", stem.ETA(time.Now().Add(200*time.Millisecond)))
			publish(t, producer, due)
			if err := server.Client.Del(t.Context(), "{stem}:q:"+late+":b").Err(); err != nil {
				t.Fatal(err)
			}
			redis.Expectant(taker, queues...)
			ended := stream(t, taker, queues...)
			for since := 0; since < 1000; {
				if time.Now().After(due.State.NotBefore) {
					since++
				}
				m := single(t)
				publish(t, producer, m)
				id := ""
				for id = range ended {
					if id == m.ID || id == due.ID {
						break
					}
				}
				if id == due.ID || t.Failed() {
					return
				}
			}
			t.Error("a thousand tasks came before one that was due")
		})
	}
}

// stream has a store end one task after the other, and says which. It stops with the test.
func stream(t *testing.T, store stem.Store, queues ...string) <-chan string {
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan string)
	c := stem.Claim{Max: 1, Lease: time.Minute, Owner: owner, Wait: patience}
	for _, q := range queues {
		c.Queues = append(c.Queues, stem.QueueLimit{Queue: q})
	}
	go func() {
		defer close(ended)
		for {
			ds, err := store.Broker.Claim(ctx, c)
			for _, d := range ds {
				var errs []error
				if errs, err = store.Broker.Settle(context.WithoutCancel(ctx), done(d)); err == nil {
					err = errs[0]
				}
				select {
				case ended <- d.ID:
				case <-ctx.Done():
				}
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		for range ended {
			continue
		}
	})
	return ended
}
