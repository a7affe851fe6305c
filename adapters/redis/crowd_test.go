package redis_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// Many messages of many queues, of which some are too large for a page and some priorities have few, come in the order of each queue and priority.
func TestManyMessagesOfManyQueuesKeepTheirOrder(t *testing.T) {
	const n, queues = 12_000, 10
	store := fresh(servers.Redis(t).URL())(t)
	msgs, want := make([]stem.Message, n), map[string][]string{}
	lot := func(queue string, priority int) string { return fmt.Sprint(queue, priority) }
	for i := range msgs {
		opts := []stem.Option{stem.Queue(fmt.Sprint("q", i%queues))}
		if i%97 == 0 {
			opts = append(opts, stem.Priority(7))
		}
		m, err := stem.BuildMessage("stem", stem.NewHeader("test.task", opts...), []byte(fmt.Sprint("body ", i)))
		if err != nil {
			t.Fatal(err)
		}
		if i%2_011 == 0 {
			m.Envelope.Body = make([]byte, 5<<10)
		}
		msgs[i] = m
		want[lot(m.Queue, m.Priority)] = append(want[lot(m.Queue, m.Priority)], m.ID)
	}
	for part := range slices.Chunk(msgs, n/3) {
		out, err := store.Broker.Publish(t.Context(), part...)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out {
			if p.State != stem.Accepted {
				t.Fatalf("%+v", p)
			}
		}
	}
	ask := stem.Claim{Max: 200, Owner: owner}
	for i := range queues {
		ask.Queues = append(ask.Queues, stem.QueueLimit{Queue: fmt.Sprint("q", i), Limit: 7 * (i + 1)})
	}
	got := map[string][]string{}
	for total := 0; total < n; {
		ds, err := store.Broker.Claim(t.Context(), ask)
		if err != nil || len(ds) == 0 {
			t.Fatalf("claimed %d of %d, %v", total, n, err)
		}
		for _, d := range ds {
			got[lot(d.Queue, d.Priority)] = append(got[lot(d.Queue, d.Priority)], d.ID)
		}
		settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
		total += len(ds)
	}
	for name, ids := range want {
		if !slices.Equal(got[name], ids) {
			t.Errorf("queue and priority %s: not in order", name)
		}
	}
	if q := counts(t, store); q != (stem.QueueCounts{}) {
		t.Errorf("counts %+v", q)
	}
}

// Those who wait share pages, and what comes to one that goes away while it waits comes to another.
func TestManyWhoWaitAndGoAwayShareWhatIsPublishedTogether(t *testing.T) {
	const waiters, books, each = 12, 30, 40
	store := fresh(servers.Redis(t).URL())(t)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	var mu sync.Mutex
	ended := map[string]int{}
	for range waiters {
		all.Go(func() {
			for ctx.Err() == nil {
				c := stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: 1 + rand.IntN(9), Lease: 2 * time.Second, Wait: time.Second, Owner: owner}
				mine, leave := context.WithTimeout(ctx, time.Duration(rand.IntN(20_000))*time.Microsecond)
				ds, err := store.Broker.Claim(mine, c)
				leave()
				if err != nil {
					continue // it went away
				}
				var settlements []stem.Settlement
				for _, d := range ds {
					settlements = append(settlements, done(d))
				}
				errs, err := store.Broker.Settle(t.Context(), settlements...)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for i, err := range errs {
					if err == nil {
						ended[ds[i].ID]++
					}
				}
				mu.Unlock()
			}
		})
	}
	for n := range books {
		var msgs []stem.Message
		for i := range each {
			msgs = append(msgs, message(t, fmt.Sprintf("task-%02d-%02d", n, i)))
		}
		if _, err := store.Broker.Publish(t.Context(), msgs...); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "everything has ended", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(ended) == books*each
	})
	for id, n := range ended {
		if n != 1 {
			t.Errorf("%s has ended %d times", id, n)
		}
	}
	if q := counts(t, store); q != (stem.QueueCounts{}) {
		t.Errorf("counts %+v", q)
	}
}

func TestWorkGoesOnAfterAFlushAmongTasksInPages(t *testing.T) {
	server := testserver.NewRedis(t)
	f := newCrowd(t, server.URL(), 3, 20)
	for range 5 {
		f.flows(100)
		if err := server.Client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		f.flows(100)
		if err := server.Client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	f.cancel()
	f.done.Wait()
	f.once()
}
