package redis_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// dump is all that a namespace holds, by key.
func dump(t *testing.T, server *testserver.Redis, namespace string) map[string]string {
	t.Helper()
	all, prefix := map[string]string{}, "{"+namespace+"}:"
	keys, err := server.Client.Keys(t.Context(), prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		value, err := server.Client.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(key, prefix)] = value
	}
	return all
}

func TestTasksPublishedOneByOneAreKeptAsThoseOfOneCall(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	clock := func(o *stem.StoreOptions) {
		o.Now = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	}
	under := func(namespace string) stem.Store {
		return open(t, server.URL(), clock, func(o *stem.StoreOptions) { o.Namespace = namespace })
	}
	var msgs []stem.Message
	for i, id := range []string{"a", "b", "c"} {
		m := message(t, id, stem.Priority(i))
		m.GeneratedID = i > 0
		msgs = append(msgs, m)
	}
	together, apart := under("together"), under("apart")
	if _, err := together.Broker.Publish(t.Context(), msgs...); err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if p, err := apart.Broker.Publish(t.Context(), m); err != nil || p[0].State != stem.Accepted {
			t.Fatal(p, err)
		}
	}
	want, got := dump(t, server, "together"), dump(t, server, "apart")
	if !maps.Equal(want, got) {
		t.Errorf("keys %v and %v, or what they hold, differ", slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
	}
}

func TestATaskPublishedAloneAgainIsADuplicateUntilItsEndAndThenANewLife(t *testing.T) {
	t.Parallel()
	store := open(t, testserver.NewRedis(t).URL())
	m := message(t, "again")
	m.GeneratedID = true
	publish := func(want stem.PublishState) {
		t.Helper()
		if p, err := store.Broker.Publish(t.Context(), m); err != nil || p[0].State != want || p[0].ID != m.ID {
			t.Fatalf("%+v, %v, want state %d", p, err, want)
		}
	}
	publish(stem.Accepted)
	publish(stem.Duplicate)
	ds := claim(t, store, 2)
	if len(ds) != 1 {
		t.Fatalf("%d tasks, want one", len(ds))
	}
	publish(stem.Duplicate)
	settle(t, store, func(int) stem.Settlement { return done(ds[0]) }, ds...)
	publish(stem.Accepted)
	s, err := store.Results.Load(t.Context(), m.ID)
	if err != nil || s[0] == nil || s[0].State != stem.Queued {
		t.Fatalf("status %+v, %v, want that of the new life", s[0], err)
	}
	if again := claim(t, store, 2); len(again) != 1 || again[0].Receipt.Epoch <= ds[0].Receipt.Epoch {
		t.Errorf("claimed %+v, want the new life with an epoch above %d", again, ds[0].Receipt.Epoch)
	}
}

func TestALoneProducerWhoseConnectionWasClosedJustNowTakesAnother(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	for i := range 20 {
		if _, err := store.Broker.Publish(t.Context(), message(t, fmt.Sprintf("before-%d", i))); err != nil {
			t.Fatal(err)
		}
		if err := server.Client.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Broker.Publish(t.Context(), message(t, fmt.Sprintf("after-%d", i))); err != nil {
			t.Fatal(err)
		}
	}
}
