package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

func TestClaimsOfEmptyQueuesAskOnceEach(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	claim := func(wait time.Duration) []stem.Delivery {
		t.Helper()
		c := ask(time.Minute)
		c.Wait = wait
		ds, err := store.Broker.Claim(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return ds
	}
	scripts := func() int { return scriptsOf(t, server) }
	const claims, wait = 20, 10 * time.Millisecond
	claim(wait)
	before := scripts()
	for range claims {
		claim(wait)
	}
	if ran := scripts() - before; ran > claims*3/2 { // one each, but for a process that slept
		t.Errorf("%d claims that found nothing ran %d scripts", claims, ran)
	}
	for i := range 10 {
		id := fmt.Sprintf("between-%d", i)
		if _, err := store.Broker.Publish(t.Context(), message(t, id)); err != nil {
			t.Fatal(err)
		}
		if ds := claim(patience); len(ds) != 1 || ds[0].ID != id {
			t.Fatalf("what came between two claims: got %+v, want %s", ds, id)
		}
		claim(wait)
	}
}

// TestAWaiterThatLeavesTellsOfWhatIsDue lets the only one who has seen a task that becomes due go away: there is a ring for the next, who
// might wait for longer otherwise.
func TestAWaiterThatLeavesTellsOfWhatIsDue(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	rings := func() bool {
		n, err := server.Client.Exists(t.Context(), "{stem}:q:"+queue+":b").Result()
		return err == nil && n == 1
	}
	waits := func() bool {
		clients, err := server.Client.ClientList(t.Context()).Result()
		return err == nil && strings.Contains(clients, "cmd=bzpopmin")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		c := ask(time.Minute)
		c.Wait = patience
		_, err := store.Broker.Claim(ctx, c)
		ended <- err
	}()
	until(t, "the waiter waits", waits)
	if _, err := store.Broker.Publish(t.Context(), message(t, "soon", stem.Delay(2*time.Second))); err != nil {
		t.Fatal(err)
	}
	until(t, "the waiter has looked", func() bool { return !rings() && waits() })
	cancel()
	if err := <-ended; err == nil {
		t.Fatal("it was not due yet")
	}
	until(t, "there is a ring for the next", rings)
}

// TestWhoTakesATaskTellsOfWhatIsDueSoon takes the ring of a delayed task away, as one who looked for it would, and claims another: he may
// have no room for the first when it is due, so somebody else is to know of it.
func TestWhoTakesATaskTellsOfWhatIsDueSoon(t *testing.T) {
	t.Parallel()
	server := servers.Redis(t)
	for name, c := range map[string]struct {
		delay, lease time.Duration // of the first task; lease: it is claimed
		ready, rings bool          // a second one
	}{
		"soon":                    {delay: 2500 * time.Millisecond, ready: true, rings: true},
		"late":                    {delay: time.Hour, ready: true},
		"soon, nothing taken":     {delay: 2500 * time.Millisecond},
		"leased for a short time": {lease: 2500 * time.Millisecond, ready: true, rings: true},
		"leased for long":         {lease: time.Hour, ready: true},
	} {
		namespace := stem.NewID()
		store := open(t, server.URL(), stem.Namespace(namespace))
		bell := "{" + namespace + "}:q:" + queue + ":b"
		publish := func(opts ...stem.Option) {
			t.Helper()
			m, err := stem.BuildMessage(namespace, stem.NewHeader("test.task", append(opts, stem.Queue(queue))...), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Broker.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		claim := func(lease time.Duration) int {
			t.Helper()
			ds, err := store.Broker.Claim(t.Context(), ask(lease))
			if err != nil {
				t.Fatal(err)
			}
			return len(ds)
		}
		publish(stem.Delay(c.delay))
		if c.lease > 0 {
			claim(c.lease)
		}
		want := 0
		if c.ready {
			publish()
			want = 1
		}
		if err := server.Client.Del(t.Context(), bell).Err(); err != nil {
			t.Fatal(err)
		}
		if n := claim(time.Hour); n != want {
			t.Fatalf("%s: claimed %d tasks, want %d", name, n, want)
		}
		n, err := server.Client.Exists(t.Context(), bell).Result()
		if err != nil || (n == 1) != c.rings {
			t.Errorf("%s: the bell was rung %d times, %v", name, n, err)
		}
	}
}
