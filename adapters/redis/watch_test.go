package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// soon is less than a call may take, and more than anything takes that does not wait for one that is never answered.
const soon = 8 * time.Second

// deaf is a server, and a store of a user of it who may do all but use channels.
func deaf(t *testing.T) (*testserver.Redis, stem.Store) {
	server := testserver.NewRedis(t)
	if err := server.SetUser(t.Context(), "deaf", "secret", "~*", "resetchannels", "+@all"); err != nil {
		t.Fatal(err)
	}
	return server, open(t, server.UserURL("deaf", "secret", 0))
}

func TestWhoMayNotUseChannelsSeesAResultAtOnceAndOneThatComesLater(t *testing.T) {
	t.Parallel()
	server, store := deaf(t)
	calm, client := open(t, server.URL()), stem.NewClient(store)
	end := func(id string) {
		ds, err := calm.Broker.Claim(t.Context(), ask(time.Minute))
		if err != nil || len(ds) != 1 || ds[0].ID != id {
			t.Errorf("claimed %+v, %v", ds, err)
			return
		}
		if errs, err := calm.Broker.Settle(t.Context(), done(ds[0])); err != nil || errs[0] != nil {
			t.Error(errs, err)
		}
	}
	for _, id := range []string{"ended", "goes-on"} {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		if _, err := store.Broker.Publish(ctx, message(t, id)); err != nil {
			t.Fatal(err)
		}
		if id == "ended" {
			end(id)
		}
		seen, err := store.Results.Watch(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if s := <-seen; id == "goes-on" && s.State == stem.Queued {
			end(id)
		}
		if s, err := client.Handle(id).Wait(ctx); err != nil || s.State != stem.Succeeded {
			t.Errorf("%s: %+v, %v", id, s, err)
		}
	}
}

func TestWhoMayNotUseChannelsIsNotHeldUpByASubscription(t *testing.T) {
	t.Parallel()
	_, store := deaf(t)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if _, err := store.Bus.Subscribe(ctx, "topic"); err != nil {
		t.Error(err)
	}
}
