package redis_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// in is a message of a queue.
func in(t *testing.T, queue, id string, opts ...stem.Option) stem.Message {
	t.Helper()
	m := message(t, id, opts...)
	m.Queue = queue
	return m
}

// workOff takes the tasks of queues to their results.
func workOff(t *testing.T, store stem.Store, queues ...string) (ids []string) {
	t.Helper()
	c := stem.Claim{Max: 1000, Owner: owner, Lease: time.Minute}
	for _, q := range queues {
		c.Queues = append(c.Queues, stem.QueueLimit{Queue: q})
	}
	ds, err := store.Broker.Claim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		ids = append(ids, d.ID)
		if errs, err := store.Broker.Settle(t.Context(), done(d)); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
	}
	return ids
}

func TestASpreadNamespaceLiesOnAllNodesOfACluster(t *testing.T) {
	c, namespace := servers.Cluster(t), stem.NewID()
	store := open(t, c.URL(), stem.Namespace(namespace))
	if !strings.Contains(store.Info.Version, "spread over its nodes") || store.Info.OneFile {
		t.Errorf("the store says %+v", store.Info)
	}
	var queues []string
	var msgs []stem.Message
	for i := range 30 {
		queues = append(queues, fmt.Sprintf("queue-%d", i))
		msgs = append(msgs, in(t, queues[i], fmt.Sprintf("task-%d", i)), in(t, queues[i], fmt.Sprintf("done-%d", i)))
		part := fmt.Sprintf("run-%d", i)
		w := stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", Part: part, ID: "r"}, Body: []byte("b")}}
		if _, err := store.Records.Save(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Broker.Publish(t.Context(), msgs...); err != nil {
		t.Fatal(err)
	}
	if ids := workOff(t, store, queues...); len(ids) != len(msgs) {
		t.Errorf("worked off %d of %d tasks", len(ids), len(msgs))
	}
	if _, err := store.Broker.Publish(t.Context(), in(t, queues[0], "last")); err != nil {
		t.Fatal(err)
	}
	tag := regexp.MustCompile(`^\{` + namespace + `(\{[qrd]:[^}]+)?\}:`)
	for _, node := range c.Nodes {
		keys, err := node.Client.Keys(t.Context(), "{"+namespace+"*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, sort := range []string{"{q:", "{r:", "{d:"} {
			if !slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(k, namespace+sort) }) {
				t.Errorf("%s has no key of the sort %s, but %v", node.Addr, sort, keys)
			}
		}
		for _, key := range keys {
			if !tag.MatchString(key) {
				t.Errorf("key %s has no tag of a queue or a part", key)
			}
		}
	}
	// It is all there for one who looks from outside.
	again := open(t, c.URL(), stem.Namespace(namespace))
	counts, err := again.Broker.(stem.Inspector).Queues(t.Context())
	if err != nil || len(counts) != 1 || counts[0].Queue != queues[0] || counts[0].Ready != 1 {
		t.Errorf("queues are %+v, %v", counts, err)
	}
	page, err := again.Results.List(t.Context(), stem.StatusQuery{State: stem.Succeeded, Limit: 1000})
	if err != nil || len(page.Items) != len(msgs) {
		t.Errorf("%d results of %d, %v", len(page.Items), len(msgs), err)
	}
	recs, err := again.Records.List(t.Context(), stem.RecordQuery{Kind: "k"})
	if err != nil || len(recs.Items) != 30 {
		t.Errorf("%d records, %v", len(recs.Items), err)
	}
}

func TestANamespaceIsNotTakenForEmptyWhenItLiesOtherwise(t *testing.T) {
	c := servers.Cluster(t)
	whole, spread := c.URL()+"&spread=off", c.URL()
	refused := func(url, namespace, says string) {
		t.Helper()
		s, err := redis.Open(t.Context(), url, stem.Namespace(namespace))
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("opening %s gave %v, want an error with %q", url, err, says)
		}
	}
	first, second, third := stem.NewID(), stem.NewID(), stem.NewID()
	open(t, spread, stem.Namespace(first))
	open(t, spread, stem.Namespace(first))
	refused(whole, first, "take spread=off out of the URL")

	open(t, whole, stem.Namespace(second))
	refused(spread, second, "add spread=off to the URL")

	// One that was written before there was a choice.
	old := open(t, whole, stem.Namespace(third))
	if _, err := old.Broker.Publish(t.Context(), message(t, "a")); err != nil {
		t.Fatal(err)
	}
	node, err := c.Owner(t.Context(), "{"+third+"}")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := node.Client.Del(t.Context(), "{"+third+"}:layout").Result(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	refused(spread, third, "add spread=off to the URL")
	open(t, whole, stem.Namespace(third))
	refused(spread, third, "add spread=off to the URL")
}

// clocked opens a handle of a process whose clock is off.
func clocked(t *testing.T, url, namespace string, off time.Duration) stem.Store {
	t.Helper()
	return open(t, url, stem.Namespace(namespace), func(o *stem.StoreOptions) {
		o.Now = func() time.Time { return time.Now().Add(off) }
	})
}

func TestWhatChangedSinceIsNotMissedThoughClocksDiffer(t *testing.T) {
	url, namespace := servers.Cluster(t).URL(), stem.NewID()
	ahead, behind, reader := clocked(t, url, namespace, time.Minute), clocked(t, url, namespace, -time.Minute), clocked(t, url, namespace, 0)
	save := func(s stem.Store, part string) int64 {
		t.Helper()
		w := stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", Part: part, ID: part}}}
		versions, err := s.Records.Save(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		return versions[0]
	}
	since, seen := int64(0), map[string]bool{}
	read := func() {
		t.Helper()
		for q := (stem.RecordQuery{Kind: "k", AfterVersion: since, Limit: 3}); ; {
			page, err := reader.Records.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Items {
				if seen[r.ID] || r.Version <= since {
					t.Errorf("%s came again, at version %d after %d", r.ID, r.Version, since)
				}
				seen[r.ID], since = true, r.Version
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				return
			}
		}
	}
	for i := range 20 {
		save(ahead, fmt.Sprintf("ahead-%d", i))
		read()
		save(behind, fmt.Sprintf("behind-%d", i))
		save(behind, fmt.Sprintf("after-%d", i))
		read()
		if len(seen) != 3*(i+1) {
			t.Fatalf("after %d rounds %d of %d were seen", i+1, len(seen), 3*(i+1))
		}
	}
}

// A producer that dies between the directory and the queue leaves an id that is free for others after a while; here it is long ago.
func TestAnIDThatWasTakenForNothingOnAClusterIsFreeAgain(t *testing.T) {
	c, namespace := testserver.NewCluster(t), stem.NewID()
	long := clocked(t, c.URL(), namespace, -time.Hour)
	if _, err := long.Broker.Publish(t.Context(), in(t, "q", "a")); err != nil {
		t.Fatal(err)
	}
	for _, node := range c.Nodes { // its queue is lost, what others know of it is not
		keys, err := node.Client.Keys(t.Context(), "{"+namespace+"{q:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if err := node.Client.Del(t.Context(), key).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	store := open(t, c.URL(), stem.Namespace(namespace))
	out, err := store.Broker.Publish(t.Context(), in(t, "r", "a"))
	if err != nil || out[0].State != stem.Accepted {
		t.Errorf("published %+v, %v", out, err)
	}
	if ids := workOff(t, store, "q", "r"); !slices.Equal(ids, []string{"a"}) {
		t.Errorf("worked off %v", ids)
	}
}
