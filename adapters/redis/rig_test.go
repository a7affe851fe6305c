package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
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
