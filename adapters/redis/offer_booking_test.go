package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// What was taken is its owner's also if he goes at once: who follows him need not wait for the end of a lease.
func TestCloseBooksWhatWasTaken(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store, taker := open(t, server.URL()), open(t, server.URL())
	d := takes(t, store, taker, queue)
	if err := taker.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := store.Broker.(stem.Takeover).ReleaseOwner(t.Context(), owner); err != nil || n != 1 {
		t.Errorf("%d tasks were given back, %v", n, err)
	}
	if ds := claim(t, store, 2); len(ds) != 1 || ds[0].ID != d.ID || ds[0].State.Redeliveries != 1 {
		t.Errorf("claimed %+v, want %s", ds, d.ID)
	}
}

// One script books a hundred.
func TestAllThatWasTakenIsBookedBeforeASettlement(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	producer, taker := open(t, server.URL()), open(t, server.URL())
	ds := make([]stem.Delivery, 250)
	for i := range ds {
		ds[i] = takes(t, producer, taker, fmt.Sprint("queue-", i))
	}
	last := ds[len(ds)-1]
	settle(t, taker, func(int) stem.Settlement { return done(last) }, last)
	if n := redis.Unbooked(taker); n > 0 {
		t.Errorf("%d are not booked", n)
	}
	settle(t, taker, func(i int) stem.Settlement { return done(ds[i]) }, ds[:len(ds)-1]...)
	sound(t, server)
}

// A caller's time counts, whoever books for him.
func TestCallsBesideASilentServerThatHasSomethingToBookEndWithTheirContext(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]func(stem.Store) (free func()){
		"another books": redis.HoldBooking,
		"nobody books":  func(stem.Store) func() { return func() {} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testserver.NewRedis(t)
			producer, taker := open(t, server.URL()), open(t, server.URL())
			d := takes(t, producer, taker, queue)
			free := hold(taker)
			t.Cleanup(free)
			if err := server.Pause(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Resume() })
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			calls := map[string]func() error{
				"a settlement": func() error { _, err := taker.Broker.Settle(ctx, done(d)); return err },
				"an extension": func() error {
					_, err := taker.Broker.Extend(ctx, stem.Lease{Receipt: d.Receipt, For: time.Minute})
					return err
				},
				"a lookup": func() error { _, err := taker.Results.Load(ctx, d.ID); return err },
			}
			ended := make(chan string, len(calls))
			for name, call := range calls {
				go func() {
					var late net.Error
					if err := call(); !errors.As(err, &late) || !late.Timeout() {
						t.Errorf("%s ended with %v", name, err)
					}
					ended <- name
				}()
			}
			until(t, "all calls end", func() bool { return len(ended) == len(calls) })
			free()
			if err := server.Resume(); err != nil {
				t.Fatal(err)
			}
			settle(t, taker, func(int) stem.Settlement { return done(d) }, d)
		})
	}
}
