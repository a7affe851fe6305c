package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// stuff publishes so many tasks a call until the server has no room, and says how many it accepted.
func stuff(t *testing.T, store stem.Store, n int) (accepted int) {
	t.Helper()
	for {
		var msgs []stem.Message
		for range n {
			m, err := stem.BuildMessage("stem", stem.NewHeader("test.task", stem.Queue(queue)), []byte(strings.Repeat("body", 500)))
			if err != nil {
				t.Fatal(err)
			}
			msgs = append(msgs, m)
		}
		out, err := store.Broker.Publish(t.Context(), msgs...)
		if errors.Is(err, stem.ErrStoreFull) {
			return accepted
		}
		if err != nil {
			t.Fatal(err)
		}
		accepted += len(out)
	}
}

// A server that is full refuses what is new, and nothing that has to be done for what it holds: it would stay full, and what runs would run
// again for want of a lease.
func TestWhatAFullServerHoldsIsWorkedOff(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"one by one": 1, "each by itself": 3, "in pages": 40} {
		t.Run(name, func(t *testing.T) {
			server := testserver.NewRedis(t)
			store := open(t, server.URL())
			if err := server.Client.ConfigSet(t.Context(), "maxmemory", "5mb").Err(); err != nil {
				t.Fatal(err)
			}
			left, retried := stuff(t, store, n), false
			for left > 0 {
				ds := claim(t, store, 7)
				if len(ds) == 0 {
					t.Fatalf("%d are left and can not be claimed", left)
				}
				var leases []stem.Lease
				for _, d := range ds {
					leases = append(leases, stem.Lease{Receipt: d.Receipt, For: time.Hour})
				}
				if lost, err := store.Broker.Extend(t.Context(), leases...); err != nil || len(lost) > 0 {
					t.Fatalf("lost %v, %v", lost, err)
				}
				if !retried {
					retried = true
					if err := store.Results.Save(t.Context(), stem.StatusWrite{Status: stem.Status{ID: ds[0].ID, Epoch: ds[0].Receipt.Epoch, State: stem.Running}}); err != nil {
						t.Fatal(err)
					}
					if _, err := store.Broker.(stem.Limiter).Take(t.Context(), stem.RateAsk{Key: "k", Rate: stem.Rate{Tokens: 1, Per: time.Hour}}); err != nil {
						t.Fatal(err)
					}
					settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Retry} }, ds[0])
					ds = ds[1:]
				}
				settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
				left -= len(ds)
			}
		})
	}
}

// A full server takes no task in, however it comes.
func TestAFullServerRefusesEveryNewTask(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	publish(t, store, message(t, "ended"))
	settle(t, store, func(int) stem.Settlement { return stem.Settlement{} }, claim(t, store, 1)...)
	several := func(n int, change func(i int, m *stem.Message)) (msgs []stem.Message) {
		for i := range n {
			m := single(t)
			change(i, &m)
			msgs = append(msgs, m)
		}
		return msgs
	}
	later := func(_ int, m *stem.Message) { m.State.NotBefore = time.Now().Add(time.Hour) }
	if err := server.Client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	before, err := server.Client.DBSize(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for name, msgs := range map[string][]stem.Message{
		"a delayed one": several(1, later), "many delayed ones": several(100, later),
		"one with a key":      several(1, func(_ int, m *stem.Message) { m.Unique.Key = "key" }),
		"one tried again":     several(1, func(_ int, m *stem.Message) { m.State.Epoch = 1 }),
		"one with a lease":    several(1, func(_ int, m *stem.Message) { m.Lease = time.Minute }),
		"one with another id": {message(t, "chosen")},
		"some, one of which is remembered": several(40, func(i int, m *stem.Message) {
			if i == 7 {
				*m = message(t, "ended")
			}
		}),
		"some, half of them delayed": several(40, func(i int, m *stem.Message) {
			if i%2 == 0 {
				later(i, m)
			}
		}),
	} {
		if out, err := store.Broker.Publish(t.Context(), msgs...); !errors.Is(err, stem.ErrStoreFull) {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	if after, err := server.Client.DBSize(t.Context()).Result(); err != nil || after != before {
		t.Errorf("there are %d keys, were %d, %v", after, before, err)
	}
	if err := server.Client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if q := counts(t, store); q.Ready+q.Delayed != 0 {
		t.Errorf("there are %+v", q)
	}
}
