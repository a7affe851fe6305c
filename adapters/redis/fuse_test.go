package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// It is the same pause however often a node was asked in vain, and no longer than a daemon's own after a claim that failed.
func TestASilentNodeIsAskedAgainWithinThreeSeconds(t *testing.T) {
	if redis.ProbePeriod > 3*time.Second {
		t.Errorf("it is asked again after %v", redis.ProbePeriod)
	}
}

// One node of a Cluster stands still: it takes connections and says nothing.
func TestWorkGoesOnBesideANodeOfAClusterThatIsSilent(t *testing.T) {
	t.Parallel()
	c := testserver.NewCluster(t, "cluster-require-full-coverage no")
	namespace := stem.NewID()
	store := open(t, c.URL(), stem.Namespace(namespace))
	silent := c.Nodes[2]
	lies := func(queue string) bool { // whether a queue lies on that node
		node, err := c.Owner(t.Context(), "{"+namespace+"{q:"+redis.LaneOf(queue)+"}")
		if err != nil {
			t.Fatal(err)
		}
		return node == silent
	}
	var near, far []string
	for i := 0; len(near) < 2 || len(far) < 1; i++ {
		if queue := fmt.Sprintf("queue-%d", i); lies(queue) {
			far = append(far, queue)
		} else {
			near = append(near, queue)
		}
	}
	claim := stem.Claim{Max: 30, Owner: owner, Lease: 10 * time.Minute, Queues: []stem.QueueLimit{{Queue: near[0], Limit: 15}, {Queue: far[0], Limit: 10}, {Queue: near[1]}}}
	const each = 30
	for i := range each {
		for _, q := range claim.Queues {
			if _, err := store.Broker.Publish(t.Context(), in(t, q.Queue, fmt.Sprintf("%s-%d", q.Queue, i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	ds, err := store.Broker.Claim(t.Context(), claim)
	if err != nil || len(ds) != 30 {
		t.Fatalf("claimed %d, %v", len(ds), err)
	}
	batch := make([]stem.Settlement, len(ds))
	for i, d := range ds {
		batch[i] = done(d)
	}
	if err := silent.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Resume() })
	errs, err := store.Broker.Settle(t.Context(), batch...)
	if err != nil {
		t.Fatal(err)
	}
	var rest []stem.Settlement
	written := 0
	for i, err := range errs {
		switch far := ds[i].Queue == far[0]; {
		case errors.Is(err, stem.ErrUnreachable):
			rest = append(rest, batch[i])
		case err != nil:
			t.Errorf("%s in %s: %v", ds[i].ID, ds[i].Queue, err)
		case far:
			t.Errorf("%s is settled, though its queue does not answer", ds[i].ID)
		default:
			written++
		}
	}
	if written == 0 || len(rest) < 10 {
		t.Fatalf("%d settled, %d not", written, len(rest))
	}
	// What needs the node is refused and does not wait for it any more.
	if _, err := store.Broker.Settle(t.Context(), rest...); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("settling again gave %v", err)
	}
	claimed := map[string]bool{}
	for tries := 0; tries < 10; tries++ {
		ds, err = store.Broker.Claim(t.Context(), claim)
		if err != nil && !errors.Is(err, stem.ErrUnreachable) {
			t.Fatal(err)
		}
		for _, d := range ds {
			claimed[d.ID] = true
			errs, err := store.Broker.Settle(t.Context(), done(d))
			if err != nil || errs[0] != nil {
				t.Errorf("%s in %s: %v, %v", d.ID, d.Queue, errs, err)
			}
		}
	}
	t.Logf("claimed %d beside it, of %d", len(claimed), 2*each-20)
	if len(claimed) < each/2 {
		t.Errorf("claimed only %d beside it", len(claimed))
	}
	if err := silent.Resume(); err != nil {
		t.Fatal(err)
	}
	until(t, "all is settled", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		errs, err := store.Broker.Settle(ctx, rest...)
		if err != nil {
			return false
		}
		var again []stem.Settlement
		for i, err := range errs {
			if errors.Is(err, stem.ErrUnreachable) {
				again = append(again, rest[i])
			} else if err != nil && !errors.Is(err, stem.ErrLeaseLost) { // it was settled, and the answer did not come
				t.Fatal(err)
			}
		}
		rest = again
		return len(rest) == 0
	})
}
