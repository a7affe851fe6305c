package redis_test

import (
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// Who waits is told of what comes back; the look of every three seconds would find it too, and is not to be needed.
func TestWhatComesBackRings(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	bell := "{stem}:q:" + queue + ":b"
	for name, s := range map[string]stem.Settlement{
		"released": {Kind: stem.Release}, "retried": {Kind: stem.Retry}, "moved": {Kind: stem.Move, Queue: queue}, "held": {Kind: stem.Hold},
	} {
		publish(t, store, message(t, name))
		ds := claim(t, store, 1)
		if err := server.Client.Del(t.Context(), bell).Err(); err != nil { // as by who waited for it
			t.Fatal(err)
		}
		settle(t, store, func(int) stem.Settlement { return s }, ds...)
		if rung, err := server.Client.Exists(t.Context(), bell).Result(); rung != 1 || err != nil {
			t.Errorf("%s: the bell is rung: %d, %v", name, rung, err)
		}
		ds = claim(t, store, 1)
		if len(ds) != 1 || ds[0].ID != name {
			t.Fatalf("%s: claimed %v", name, ds)
		}
		settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
	}
}

// A unique key whose time is over leaves nothing, though its task still waits.
func TestAKeyThatIsOverIsForgotten(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	m := single(t)
	m.Unique = stem.Reservation{Key: "key", For: 20 * time.Millisecond}
	publish(t, store, m)
	until(t, "the key is forgotten", func() bool {
		if _, err := store.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		left, err := server.Client.Exists(t.Context(), "{stem}:holders", "{stem}:kept").Result()
		if err != nil {
			t.Fatal(err)
		}
		return left == 0
	})
}
