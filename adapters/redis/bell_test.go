package redis_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// TestAWaiterThatLeavesKeepsNothing cancels claims, or closes their store, at the moment they are rung for: what they did not return is
// there for the next at once, in its place and without a redelivery counted.
func TestAWaiterThatLeavesKeepsNothing(t *testing.T) {
	server := servers.Redis(t)
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
		until(t, "the waiter waits", func() bool {
			clients, err := server.Client.ClientList(t.Context()).Result()
			return err == nil && strings.Contains(clients, "cmd=bzpopmin")
		})
		id := stem.NewID()
		both.Go(func() {
			for range round % 12 { // at another moment each time, by the server's pace
				_ = server.Client.Ping(t.Context()).Err()
			}
			cancel()
		})
		if _, err := store.Broker.Publish(t.Context(), message(t, id)); err != nil {
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
		if got[0].ID != id || got[0].State.Redeliveries != 0 {
			t.Fatalf("round %d: got %+v", round, got[0].Message)
		}
		if errs, err := store.Broker.Settle(t.Context(), done(got[0])); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
	}
	if lost == 0 || lost == 300 {
		t.Errorf("%d of 300 waiters left too early: the rounds show nothing", lost)
	}
	until(t, "no waiter's key is left", func() bool {
		keys, err := server.Client.Keys(t.Context(), "{leaving}:waiter:*").Result()
		return err == nil && len(keys) == 0
	})
}
