package redis_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// TestAWaiterThatLeavesKeepsNothing cancels claims, or closes their store, at the moment they are rung for, or offered something: what they did not
// return is there for the next at once, in its place and without a redelivery counted.
func TestAWaiterThatLeavesKeepsNothing(t *testing.T) {
	t.Parallel()
	for name, comes := range map[string]func(*testing.T) stem.Message{
		"a ring":   func(t *testing.T) stem.Message { return message(t, stem.NewID()) },
		"an offer": func(t *testing.T) stem.Message { return single(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaving(t, comes)
		})
	}
}

func leaving(t *testing.T, comes func(*testing.T) stem.Message) {
	server := testserver.NewRedis(t)
	store := open(t, server.URL(), stem.Namespace("leaving"))
	lost := 0
	for round := range 300 {
		waiter, ctx, cancel := store, t.Context(), func() {}
		if closing := round%10 == 0; closing {
			waiter = open(t, server.URL(), stem.Namespace("leaving"))
			cancel = func() { _ = waiter.Close() }
		} else {
			ctx, cancel = context.WithCancel(ctx)
		}
		var got []stem.Delivery
		var both sync.WaitGroup
		both.Go(func() {
			c := ask(time.Hour)
			c.Wait = patience
			got, _ = waiter.Broker.Claim(ctx, c)
		})
		until(t, "the waiter waits", func() bool { return waiting(t, server) == "1" })
		m := comes(t)
		both.Go(func() {
			for range round % 12 { // at another moment each time, by the server's pace
				_ = server.Client.Ping(t.Context()).Err()
			}
			cancel()
		})
		if _, err := store.Broker.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		both.Wait()
		if len(got) == 0 {
			lost++
			c := ask(time.Minute)
			c.Wait = patience
			var err error
			if got, err = store.Broker.Claim(t.Context(), c); err != nil || len(got) != 1 {
				t.Fatalf("round %d: %d tasks, %v", round, len(got), err)
			}
		}
		if got[0].ID != m.ID || got[0].State.Redeliveries != 0 {
			t.Fatalf("round %d: got %+v", round, got[0].Message)
		}
		if errs, err := store.Broker.Settle(t.Context(), done(got[0])); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
	}
	if lost == 0 || lost == 300 {
		t.Errorf("%d of 300 waiters left too early: the rounds show nothing", lost)
	}
	if faults := redis.Audit(t, server.Client, "{leaving}:"); len(faults) > 0 {
		t.Error(faults)
	}
	until(t, "no waiter's key is left", func() bool {
		keys, err := server.Client.Keys(t.Context(), "{leaving}:waiter:*").Result()
		return err == nil && len(keys) == 0
	})
}

// TestAWaiterThatLeavesASilentServerKeepsNothing cancels a claim while its server is stopped and a task becomes due, which the server hands
// out to that waiter when it goes on: it is there for the next one all the same, and so is no key of the waiter.
func TestAWaiterThatLeavesASilentServerKeepsNothing(t *testing.T) {
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	due := time.Now().Add(time.Second)
	if _, err := store.Broker.Publish(t.Context(), message(t, "due", stem.ETA(due))); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		c := ask(time.Hour)
		c.Wait = patience
		got, err := store.Broker.Claim(ctx, c)
		if len(got) > 0 {
			err = fmt.Errorf("got %d tasks", len(got))
		}
		left <- err
	}()
	until(t, "the waiter waits", func() bool { return waiting(t, server) == "1" })
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	leave()
	until(t, "the task is due by the clock, which no server stops", func() bool { return time.Since(due) > 100*time.Millisecond })
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	c := ask(time.Minute)
	c.Wait = patience
	got, err := store.Broker.Claim(t.Context(), c)
	if err != nil || len(got) != 1 || got[0].ID != "due" || got[0].State.Redeliveries != 0 {
		t.Errorf("the next one got %+v, %v", got, err)
	}
	until(t, "no waiter's key is left", func() bool {
		keys, err := server.Client.Keys(t.Context(), "*waiter:*").Result()
		return err == nil && len(keys) == 0
	})
}
