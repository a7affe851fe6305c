package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

const (
	queue = "q"
	owner = "node/boot"
	// patience bounds every wait; it is never a measurement.
	patience = 30 * time.Second
)

// message is a task with a chosen id.
func message(t testing.TB, id string, opts ...stem.Option) stem.Message {
	t.Helper()
	m, err := stem.BuildMessage("stem", stem.NewHeader("test.task", append(opts, stem.TaskID(id), stem.Queue(queue))...), []byte("body of "+id))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// single is a task as producers enqueue them one by one.
func single(t testing.TB, opts ...stem.Option) stem.Message {
	t.Helper()
	m := message(t, stem.NewID(), opts...)
	m.GeneratedID = true
	return m
}

// ask is a claim of one task.
func ask(lease time.Duration) stem.Claim {
	return stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: 1, Lease: lease, Owner: owner}
}

// done settles a claim as succeeded.
func done(d stem.Delivery) stem.Settlement {
	return stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Succeeded}}}
}

// roundTrip takes one task from its publishing to its result.
func roundTrip(t *testing.T, store stem.Store) {
	t.Helper()
	m := single(t)
	id := m.ID
	if _, err := store.Broker.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	c := ask(time.Minute)
	c.Wait = patience
	ds, err := store.Broker.Claim(t.Context(), c)
	if err != nil || len(ds) != 1 || ds[0].ID != id {
		t.Fatalf("claimed %+v, %v", ds, err)
	}
	if errs, err := store.Broker.Settle(t.Context(), done(ds[0])); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	if s, err := store.Results.Load(t.Context(), id); err != nil || s[0] == nil || s[0].State != stem.Succeeded {
		t.Fatalf("status %+v, %v", s, err)
	}
}

func wants(t *testing.T, err, kind error, says string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
		t.Errorf("error is %v, want %v with %q", err, kind, says)
	}
}

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// scriptsOf is how many scripts a server has run.
func scriptsOf(t *testing.T, server *testserver.Redis) (n int) {
	t.Helper()
	text, err := server.Client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		var calls int
		if _, err := fmt.Sscanf(line, "cmdstat_evalsha:calls=%d", &calls); err == nil {
			n += calls
		}
	}
	return n
}

// waiting is how many clients of a server wait for work.
func waiting(t *testing.T, server *testserver.Redis) string {
	t.Helper()
	info, err := server.Client.InfoMap(t.Context(), "clients").Result()
	if err != nil {
		t.Fatal(err)
	}
	return info["Clients"]["blocked_clients"]
}

// takes has a store take a task that is offered in a queue where there is nothing else. It books it when it must.
func takes(t *testing.T, producer, taker stem.Store, queue string) stem.Delivery {
	t.Helper()
	m := single(t)
	m.Queue = queue
	publish(t, producer, m)
	return take(t, taker, m)
}

// take is the same with what has been published.
func take(t *testing.T, taker stem.Store, m stem.Message) stem.Delivery {
	t.Helper()
	redis.Reluctant(taker)
	redis.Expectant(taker, m.Queue)
	before := redis.Unbooked(taker)
	c := ask(time.Minute)
	c.Queues[0].Queue, c.Wait = m.Queue, patience
	ds, err := taker.Broker.Claim(t.Context(), c)
	if err != nil || len(ds) != 1 || ds[0].ID != m.ID || redis.Unbooked(taker) != before+1 {
		t.Fatalf("took %v, %v, want %s; %d are to be booked", idsOf(ds), err, m.ID, redis.Unbooked(taker))
	}
	return ds[0]
}

// told says whether who waits for a queue is told that there is something.
func told(t *testing.T, server *testserver.Redis, queue string) bool {
	t.Helper()
	n, err := server.Client.Exists(t.Context(), "{stem}:q:"+queue+":b", "{stem}:q:"+queue+":o").Result()
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// sound demands that nothing on a server is out of step.
func sound(t *testing.T, server *testserver.Redis) {
	t.Helper()
	for _, fault := range redis.Audit(t, server.Client, "{stem}:") {
		t.Error(fault)
	}
}
