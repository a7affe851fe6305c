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
	server, err := testserver.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
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
	scripts := func() (n int) {
		t.Helper()
		stats, err := server.Client.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(stats) {
			_, _ = fmt.Sscanf(line, "cmdstat_evalsha:calls=%d,", &n)
		}
		return n
	}
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
	server, err := testserver.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
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
