package redis_test

import (
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// Whoever sorts an inbox, for whatever reason, takes back what is offered there: who waits is to be told of it in another way.
func TestWhatWasOfferedIsToldOfWhenItIsNotOfferedAnyMore(t *testing.T) {
	t.Parallel()
	for name, sorts := range map[string]func(t *testing.T, store stem.Store, live, offered stem.Message, held []stem.Delivery){
		"the same again": func(t *testing.T, store stem.Store, _, offered stem.Message, _ []stem.Delivery) {
			offered.State.Epoch = 1 // who repeats a call says so
			duplicate(t, store, offered)
		},
		"a duplicate": func(t *testing.T, store stem.Store, live, _ stem.Message, _ []stem.Delivery) {
			duplicate(t, store, live)
		},
		"a batch with a duplicate": func(t *testing.T, store stem.Store, live, _ stem.Message, _ []stem.Delivery) {
			duplicate(t, store, live, in(t, "another", "new"))
		},
		"a follow-up that is there": func(t *testing.T, store stem.Store, live, _ stem.Message, held []stem.Delivery) {
			settle(t, store, func(int) stem.Settlement { return stem.Settlement{Then: []stem.Message{live}} }, held...)
		},
		"a page": func(t *testing.T, store stem.Store, _, _ stem.Message, _ []stem.Delivery) { book(t, store, 20, nil) },
		"a lookup": func(t *testing.T, store stem.Store, _, offered stem.Message, _ []stem.Delivery) {
			if s, err := store.Results.Load(t.Context(), offered.ID); err != nil || s[0] == nil || s[0].State != stem.Queued {
				t.Errorf("%+v, %v", s, err)
			}
		},
		"a list": func(t *testing.T, store stem.Store, _, _ stem.Message, _ []stem.Delivery) {
			if page, err := store.Broker.(stem.Inspector).Browse(t.Context(), stem.BrowseQuery{Queue: queue}); err != nil || len(page.Items) == 0 {
				t.Errorf("%+v, %v", page, err)
			}
		},
		"counts": func(t *testing.T, store stem.Store, _, _ stem.Message, _ []stem.Delivery) { counts(t, store) },
		"maintenance": func(t *testing.T, store stem.Store, _, _ stem.Message, _ []stem.Delivery) {
			if _, err := store.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testserver.NewRedis(t)
			store, taker := open(t, server.URL()), open(t, server.URL())
			live, other := message(t, "live"), in(t, "elsewhere", "held")
			publish(t, store, live)
			publish(t, store, other)
			claim(t, taker, 1)
			held, err := taker.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: other.Queue}}, Max: 1, Lease: time.Minute, Owner: owner})
			if err != nil || len(held) != 1 {
				t.Fatal(held, err)
			}
			if err := server.Client.Del(t.Context(), "{stem}:q:"+queue+":b").Err(); err != nil { // as by who waits and has looked
				t.Fatal(err)
			}
			m := single(t, stem.Priority(1))
			publish(t, open(t, server.URL()), m)
			sorts(t, store, live, m, held)
			if !told(t, server, queue) {
				t.Error("it is neither rung for nor offered")
			}
			sound(t, server)
			redis.Expectant(taker, queue)
			c := ask(time.Minute)
			c.Wait = patience
			if ds, err := taker.Broker.Claim(t.Context(), c); err != nil || len(ds) != 1 || ds[0].ID != m.ID {
				t.Errorf("claimed %v, %v, want %s", idsOf(ds), err, m.ID)
			}
		})
	}
}

// duplicate publishes messages of which the first is there already.
func duplicate(t *testing.T, store stem.Store, msgs ...stem.Message) {
	t.Helper()
	out, err := store.Broker.Publish(t.Context(), msgs...)
	if err != nil || out[0].State != stem.Duplicate {
		t.Fatalf("%+v, %v", out, err)
	}
}

// Who alone knows when something becomes due, and has no room for it because he takes something else, has the next who waits look.
func TestWhatBecomesDueSoonIsToldToWhoWaitsStill(t *testing.T) {
	t.Parallel()
	for name, comes := range map[string]func(*testing.T) stem.Message{
		"an offer is taken": func(t *testing.T) stem.Message { return single(t) },
		"a task is claimed": func(t *testing.T) stem.Message { return message(t, "chosen") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testserver.NewRedis(t)
			now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // it never is due
			clock := func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } }
			producer, taker := open(t, server.URL(), clock), open(t, server.URL(), clock)
			got := make(chan []stem.Delivery)
			go func() {
				defer close(got)
				c := stem.Claim{Queues: []stem.QueueLimit{{Queue: "soon"}, {Queue: queue}}, Max: 1, Lease: time.Minute, Owner: owner, Wait: patience}
				ds, err := taker.Broker.Claim(t.Context(), c)
				if err != nil {
					t.Error(err)
				}
				got <- ds
			}()
			waits := func() bool { return waiting(t, server) == "1" }
			until(t, "it waits", waits)
			publish(t, producer, in(t, "soon", "due", stem.ETA(now.Add(2*time.Second))))
			until(t, "it has seen what it was rung for, and waits", waits)
			if told(t, server, "soon") {
				t.Fatal("the ring was not heard")
			}
			m := comes(t)
			publish(t, producer, m)
			if ds := <-got; len(ds) != 1 || ds[0].ID != m.ID {
				t.Errorf("claimed %v, want %s", idsOf(ds), m.ID)
			}
			until(t, "the bell is rung", func() bool { return told(t, server, "soon") })
		})
	}
}
