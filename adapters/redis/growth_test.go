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

// life takes tasks through all that can become of them, with a clock of its own.
type life struct {
	*testing.T
	store stem.Store
	clock time.Time
	seen  map[string]bool // tasks that were claimed before
}

func newLife(t *testing.T, url string) *life {
	l := &life{T: t, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), seen: map[string]bool{}}
	l.store = open(t, url, func(o *stem.StoreOptions) { o.Now = func() time.Time { return l.clock } })
	return l
}

func (l *life) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// lives is how many tasks go through each generation, and laneEvery how many of them share a queue.
const lives, laneEvery = 1600, 100

// generation has tasks of all sorts published, retried, released, moved, buried, purged and ended, with records, groups and broadcasts
// beside them. Nothing of it has the name of anything in another generation.
func (l *life) generation(name string) {
	l.Helper()
	ctx := l.Context()
	client := stem.NewClient(l.store)
	_, err := client.Subscribe(ctx, "news-"+name, "nobody-reads") // and does not keep it
	l.must(err)
	var queues []stem.QueueLimit
	for from := 0; from < lives; from += laneEvery {
		queue := fmt.Sprintf("q-%s-%d", name, from/laneEvery)
		queues = append(queues, stem.QueueLimit{Queue: queue}, stem.QueueLimit{Queue: queue + "-moved"})
		var msgs []stem.Message
		for i := range laneEvery {
			msgs = append(msgs, l.sort(name, queue, from+i))
		}
		published, err := l.store.Broker.Publish(ctx, msgs...)
		l.must(err)
		for _, p := range published {
			if p.State != stem.Accepted {
				l.Fatalf("%+v", p)
			}
		}
		_, _, err = client.Broadcast(ctx, "news-"+name, "news", from)
		l.must(err)
		watched, stop := context.WithCancel(ctx)
		_, err = l.store.Results.Watch(watched, published[0].ID)
		l.must(err)
		stop()
		record := stem.Record{RecordRef: stem.RecordRef{Kind: "k", Part: queue, ID: queue}, Tags: []string{queue}, Body: []byte("b"), Due: l.clock}
		_, err = l.store.Records.Save(ctx, stem.RecordWrite{Record: record, TTL: time.Hour})
		l.must(err)
	}
	ended := 0
	for idle := 0; idle < 3; l.clock = l.clock.Add(2 * time.Minute) {
		idle++
		for {
			ds, err := l.store.Broker.Claim(ctx, stem.Claim{Queues: queues, Max: 100, Lease: time.Minute, Owner: owner})
			if l.must(err); len(ds) == 0 {
				break
			}
			idle, ended = 0, ended+l.settle(ds)
		}
	}
	purged := 0
	for _, q := range queues {
		n, err := l.store.Broker.(stem.Inspector).Purge(ctx, q.Queue)
		l.must(err)
		purged += n
	}
	if ended == 0 || purged == 0 || ended+purged != lives {
		l.Fatalf("%d tasks ended, %d were purged", ended, purged)
	}
}

// sort is the n-th task: what it is to go through is its name.
func (l *life) sort(generation, queue string, n int) stem.Message {
	name := []string{"done", "chosen", "unique", "delayed", "retried", "dead", "group", "released", "lost", "moved", "early", "done", "dead-unique", "waits", "page", "page"}[n%16]
	opts := []stem.Option{stem.TaskID(fmt.Sprintf("%s-%05d", generation, n)), stem.Queue(queue)}
	m, err := stem.BuildMessage("stem", stem.NewHeader(name, opts...), []byte("body"))
	l.must(err)
	switch name {
	case "delayed":
		m.State.NotBefore = l.clock.Add(time.Minute)
	case "waits":
		m.State.NotBefore = l.clock.Add(90 * 24 * time.Hour)
	}
	m.GeneratedID = name == "done" || name == "page"
	if strings.Contains(name, "unique") || name == "waits" {
		m.Unique.Key = m.ID
	}
	if name == "group" {
		l.must(l.store.Results.OpenGroups(l.Context(), stem.Group{ID: "group-of-" + m.ID, Members: []string{m.ID}}))
	}
	return m
}

// settle does with each task what its name says, and says how many have ended.
func (l *life) settle(ds []stem.Delivery) (ended int) {
	l.Helper()
	var all []stem.Settlement
	for _, d := range ds {
		s := done(d)
		s.Result.TTL = time.Minute
		first := !l.seen[d.ID]
		l.seen[d.ID] = true
		state := d.State
		switch {
		case d.Name == "retried" && first:
			state.Attempt++
			s.Kind, s.At, s.State, s.Result = stem.Retry, l.clock.Add(time.Minute), &state, nil
		case d.Name == "released" && first:
			s.Kind, s.Result = stem.Release, nil
		case d.Name == "moved" && !strings.HasSuffix(d.Queue, "-moved"):
			s.Kind, s.Queue, s.Result = stem.Move, d.Queue+"-moved", nil
		case d.Name == "lost" && first:
			continue // its lease ends
		case d.Name == "early" && first:
			s.Kind, s.Result = stem.AckEarly, nil
		case strings.HasPrefix(d.Name, "dead"):
			s.Kind, s.Reason, s.Result.Status.State = stem.Dead, stem.ReasonPermanent, stem.Failed
		case d.Name == "group":
			s.Tally = &stem.Tally{Group: "group-of-" + d.ID, State: stem.Succeeded}
		}
		all = append(all, s)
		if s.Result != nil {
			ended++
		}
	}
	errs, err := l.store.Broker.Settle(l.Context(), all...)
	l.must(err)
	for i, err := range errs {
		if err != nil {
			l.Fatalf("%+v: %v", all[i], err)
		}
	}
	return ended
}

// expire lets all retentions pass and has what they are over for deleted.
func (l *life) expire() {
	l.Helper()
	for range 3 { // what one round cancels has a status that expires
		l.clock = l.clock.Add(120 * 24 * time.Hour)
		for more := true; more; {
			m, err := l.store.Broker.(stem.Maintainer).Maintain(l.Context())
			l.must(err)
			more = m.More
		}
	}
}

// left is what servers hold, and how many bytes each key takes.
func (l *life) left(servers ...*testserver.Redis) map[string]int64 {
	l.Helper()
	out := map[string]int64{}
	for _, server := range servers {
		for keys := server.Client.Scan(l.Context(), 0, "*", 1000).Iterator(); keys.Next(l.Context()); {
			n, err := server.Client.MemoryUsage(l.Context(), keys.Val()).Result()
			l.must(err)
			out[keys.Val()] = n
		}
	}
	return out
}

func TestNothingIsLeftThatGrowsWhenAllHasEndedAndExpired(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	l := newLife(t, server.URL())
	var meta int64
	for _, generation := range []string{"first", "later"} {
		l.generation(generation)
		l.expire()
		left := l.left(server)
		if len(left) != 1 || left["{stem}:meta"] == 0 || meta != 0 && left["{stem}:meta"] != meta {
			t.Fatalf("after the %s generation the server holds %v; the counters took %d bytes", generation, left, meta)
		}
		meta = left["{stem}:meta"]
	}
}

// What a Cluster keeps are the few counters of each part that was used, and notes of how the namespace lies.
func TestNothingIsLeftThatGrowsOnACluster(t *testing.T) {
	t.Parallel()
	const counters, notes = 256, 2 // bytes of a part's counters; the records of which of the 256 parts are used, and their index
	cluster := testserver.NewCluster(t)
	l := newLife(t, cluster.URL())
	for _, generation := range []string{"first", "second", "third"} {
		l.generation(generation)
		l.expire()
		left, others := l.left(cluster.Nodes...), 0
		for key, size := range left {
			if strings.HasSuffix(key, ":meta") && size > counters {
				t.Errorf("the counters %s take %d bytes", key, size)
			} else if !strings.HasSuffix(key, ":meta") && !strings.HasSuffix(key, ":layout") {
				others++
			}
		}
		if others > notes {
			t.Fatalf("after the %s generation the servers hold %v", generation, left)
		}
	}
}
