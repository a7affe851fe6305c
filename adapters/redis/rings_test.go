package redis_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// many is a claim of n queues that waits as daemons do.
func many(n int) stem.Claim {
	c := stem.Claim{Max: 10, Lease: time.Minute, Owner: owner, Wait: time.Second}
	for i := range n {
		c.Queues = append(c.Queues, stem.QueueLimit{Queue: fmt.Sprintf("queue-%d", i)})
	}
	return c
}

func TestAThousandQueuesOfAClusterAreWorkedByADaemonOfSeveralPools(t *testing.T) {
	url, namespace := servers.Cluster(t).URL(), stem.NewID()
	daemon, producer := open(t, url, stem.Namespace(namespace)), open(t, url, stem.Namespace(namespace))
	ctx, cancel := context.WithCancel(t.Context())
	var pools sync.WaitGroup
	got := make(chan string, 100)
	for range 3 {
		pools.Go(func() {
			for ctx.Err() == nil {
				ds, err := daemon.Broker.Claim(ctx, many(1000))
				if err != nil && ctx.Err() == nil {
					t.Errorf("claiming gave %v", err)
					return
				}
				for _, d := range ds {
					if errs, err := daemon.Broker.Settle(t.Context(), done(d)); err != nil || errs[0] != nil {
						t.Error(errs, err)
					}
					got <- d.ID
				}
			}
		})
	}
	for i := range 60 {
		id := fmt.Sprintf("task-%d", i)
		if _, err := producer.Broker.Publish(t.Context(), in(t, fmt.Sprintf("queue-%d", i*16), id)); err != nil {
			t.Fatal(err)
		}
		select {
		case first := <-got:
			if first != id {
				t.Errorf("got %s, want %s", first, id)
			}
		case <-time.After(patience):
			t.Fatalf("%s was never claimed", id)
		}
	}
	cancel()
	pools.Wait()
}

// Whoever listens when its claim has gone away keeps no ring for itself.
func TestARingThatNobodyWaitsForAnyMoreIsPassedOn(t *testing.T) {
	c, namespace := servers.Cluster(t), stem.NewID()
	gone, waits, producer := open(t, c.URL(), stem.Namespace(namespace)), open(t, c.URL(), stem.Namespace(namespace)), open(t, c.URL(), stem.Namespace(namespace))
	ctx, cancel := context.WithCancel(t.Context())
	var left sync.WaitGroup
	left.Go(func() {
		ask := many(2)
		ask.Wait = time.Hour
		_, _ = gone.Broker.Claim(ctx, ask)
	})
	until(t, "it listens", func() bool { return listening(t) >= 2 })
	cancel()
	left.Wait()
	got := make(chan []stem.Delivery, 1)
	go func() {
		ask := many(2)
		ask.Wait = patience
		ds, err := waits.Broker.Claim(t.Context(), ask)
		if err != nil {
			t.Error(err)
		}
		got <- ds
	}()
	until(t, "the other listens too", func() bool { return listening(t) >= 4 })
	if _, err := producer.Broker.Publish(t.Context(), in(t, "queue-1", "a")); err != nil {
		t.Fatal(err)
	}
	if ds := <-got; len(ds) != 1 || ds[0].ID != "a" {
		t.Errorf("claimed %v", ds)
	}
}

// listening is how many connections to the Cluster listen to bells.
func listening(t *testing.T) int {
	t.Helper()
	n := 0
	for _, node := range servers.Cluster(t).Nodes {
		clients, err := node.Client.ClientList(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(clients, "cmd=bzpopmin")
	}
	return n
}
