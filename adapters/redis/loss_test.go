package redis_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// lossy is a store whose server loses keys, as one does that evicts them.
type lossy struct {
	*testing.T
	store  stem.Store
	server *testserver.Redis
	prefix string
	clock  time.Time
	ended  map[string]int
}

func newLossy(t *testing.T) *lossy {
	l := &lossy{T: t, server: servers.Redis(t), prefix: stem.NewID(), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), ended: map[string]int{}}
	l.store = open(t, l.server.URL(), stem.Namespace(l.prefix), func(o *stem.StoreOptions) {
		o.Now, o.Dedupe = func() time.Time { return l.clock }, -1
	})
	l.prefix = "{" + l.prefix + "}:"
	return l
}

// publish publishes 40 messages together: two pages, as their bodies are large.
func (l *lossy) publish(name string) (ids []string, accepted int) {
	l.Helper()
	var msgs []stem.Message
	for i := range 40 {
		m := message(l, fmt.Sprintf("%s-%02d", name, i))
		m.Envelope.Body = make([]byte, 600)
		msgs, ids = append(msgs, m), append(ids, m.ID)
	}
	out, err := l.store.Broker.Publish(l.Context(), msgs...)
	if err != nil {
		l.Fatal(err)
	}
	for _, p := range out {
		if p.State == stem.Accepted {
			accepted++
		}
	}
	return ids, accepted
}

// claim claims up to n; that something is lost is said and nothing else.
func (l *lossy) claim(n int) (ds []stem.Delivery, lost bool) {
	l.Helper()
	c := ask(time.Minute)
	c.Max = n
	ds, err := l.store.Broker.Claim(l.Context(), c)
	if err != nil && !errors.Is(err, stem.ErrCorrupt) {
		l.Fatal(err)
	}
	return ds, err != nil
}

// finish ends claims; leases of what was lost may be lost too.
func (l *lossy) finish(ds ...stem.Delivery) {
	l.Helper()
	for _, d := range ds {
		errs, err := l.store.Broker.Settle(l.Context(), done(d))
		if err != nil || errs[0] != nil && !errors.Is(errs[0], stem.ErrLeaseLost) {
			l.Fatal(err, errs)
		}
		if errs[0] == nil {
			l.ended[d.ID]++
		}
	}
}

// drain ends all that comes, now and when leases are over.
func (l *lossy) drain() {
	l.Helper()
	for range 5 {
		l.clock = l.clock.Add(2 * time.Minute)
		for ds, lost := l.claim(100); len(ds) > 0 || lost; ds, lost = l.claim(100) {
			l.finish(ds...)
		}
	}
}

// counted are the counts of the queue, which are of nothing when it holds nothing.
func (l *lossy) counted() stem.QueueCounts {
	l.Helper()
	q := counts(l.T, l.store)
	if q.Ready < 0 || q.Delayed < 0 || q.Running < 0 {
		l.Errorf("counts %+v", q)
	}
	return q
}

// lost are the keys that a server may lose here.
var lost = []string{
	"bodies", "tasks", "pages", "marks", "surplus", "batches", "recent", "results", "lapsing", "lapses", "meta", "queues", "seen",
	"q:" + queue + ":r", "q:" + queue + ":l", "q:" + queue + ":b",
}

// Whatever key a server loses, what is published later is done once, and the same ids can be published again and are done; calls do not fail but to
// say that something is lost, nothing is counted for ever, and what was done stays done.
func TestAServerThatLosesOneKeyLosesNothingElse(t *testing.T) {
	for _, key := range lost {
		t.Run(key, func(t *testing.T) {
			l := newLossy(t)
			before, _ := l.publish("before")
			held, _ := l.claim(15)
			l.finish(held[:5]...)
			if lost, err := l.store.Broker.Extend(t.Context(), stem.Lease{Receipt: held[7].Receipt, For: time.Minute}); err != nil || len(lost) > 0 {
				t.Fatal(lost, err)
			}
			if err := l.server.Client.Del(t.Context(), l.prefix+key).Err(); err != nil {
				t.Fatal(err)
			}
			l.finish(held[5])
			if _, err := l.store.Broker.Extend(t.Context(), stem.Lease{Receipt: held[8].Receipt, For: time.Minute}); err != nil {
				t.Fatal(err)
			}
			after, n := l.publish("after")
			if n != len(after) {
				t.Errorf("%d of %d were accepted", n, len(after))
			}
			l.counted()
			for _, browse := range []func() error{
				func() error { _, err := l.store.Results.List(t.Context(), stem.StatusQuery{}); return err },
				func() error {
					_, err := l.store.Broker.(stem.Inspector).Browse(t.Context(), stem.BrowseQuery{Queue: queue})
					return err
				},
				func() error { _, err := l.store.Results.Load(t.Context(), before...); return err },
			} {
				if err := browse(); err != nil {
					t.Error(err)
				}
			}
			l.drain()
			for _, id := range after {
				if l.ended[id] != 1 {
					t.Errorf("%s, which was published later, was done %d times", id, l.ended[id])
				}
			}
			for _, id := range before {
				if l.ended[id] > 1 {
					t.Errorf("%s was done %d times", id, l.ended[id])
				}
			}
			if q := l.counted(); q.Ready+q.Running+q.Delayed != 0 {
				t.Errorf("counted for ever: %+v", q)
			}
			if strings.HasSuffix(key, ":r") || strings.HasSuffix(key, ":l") {
				return // the place of tasks that are still there
			}
			l.clock = l.clock.Add(30 * time.Hour) // nothing is known of them any more
			if _, err := l.store.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, n := l.publish("before"); n != len(before) {
				t.Errorf("%d of %d can be published again", n, len(before))
			}
			ds, _ := l.claim(30)
			for _, d := range ds {
				if lost, err := l.store.Broker.Extend(t.Context(), stem.Lease{Receipt: d.Receipt, For: time.Minute}); err != nil || len(lost) > 0 {
					t.Fatalf("the lease of %s: %v, %v", d.ID, lost, err)
				}
			}
			l.finish(ds...)
			l.drain()
			for _, id := range before {
				if l.ended[id] == 0 {
					t.Errorf("%s was lost and can not be published again", id)
				}
			}
			if q := l.counted(); q.Ready+q.Running+q.Delayed != 0 {
				t.Errorf("counted for ever: %+v", q)
			}
		})
	}
}

// The claim of some tasks whose messages are lost gives the others.
func TestAPageThatIsLostCostsNoTaskOfAnother(t *testing.T) {
	l := newLossy(t)
	ids := l.half()
	ds, lost := l.claim(100)
	if lost || len(ds) == 0 || len(ds) == len(ids) || ds[len(ds)-1].ID != ids[len(ids)-1] {
		t.Fatalf("claimed %d of %d, lost %t", len(ds), len(ids), lost)
	}
	l.finish(ds...)
	l.drain()
	if q := l.counted(); q.Ready+q.Running != 0 {
		t.Errorf("counts %+v", q)
	}
}

func TestAQueueIsPurgedOfWhatIsNotLost(t *testing.T) {
	l := newLossy(t)
	ids := l.half()
	n, err := l.store.Broker.(stem.Inspector).Purge(t.Context(), queue)
	if err != nil || n == 0 || n == len(ids) {
		t.Fatalf("purged %d, %v", n, err)
	}
	if s, err := l.store.Results.Load(t.Context(), ids[len(ids)-1]); err != nil || s[0] == nil || s[0].State != stem.Cancelled {
		t.Fatalf("%+v, %v", s, err)
	}
	l.drain()
	if q := l.counted(); q.Ready+q.Running != 0 {
		t.Errorf("counts %+v", q)
	}
}

// What was lost and is published again, now in a page, is claimed, though its first life still has its place in the queue.
func TestWhatIsPublishedAgainAfterALossIsDone(t *testing.T) {
	l := newLossy(t)
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprintf("task-%02d", i))
		if _, err := l.store.Broker.Publish(t.Context(), message(t, ids[i])); err != nil {
			t.Fatal(err)
		}
	}
	l.claim(3)
	if err := l.server.Client.Del(t.Context(), l.prefix+"bodies").Err(); err != nil {
		t.Fatal(err)
	}
	if got, n := l.publish("task"); n != len(got) {
		t.Fatalf("%d accepted", n)
	}
	l.drain()
	for _, id := range ids {
		if l.ended[id] != 1 {
			t.Errorf("%s was done %d times", id, l.ended[id])
		}
	}
	if q := l.counted(); q.Ready+q.Running != 0 {
		t.Errorf("counts %+v", q)
	}
}

// half publishes two pages and has the server lose the first one.
func (l *lossy) half() (ids []string) {
	l.Helper()
	ids, _ = l.publish("task")
	pages, err := l.server.Client.HKeys(l.Context(), l.prefix+"pages").Result()
	if err != nil || len(pages) != 2 {
		l.Fatal(pages, err)
	}
	slices.Sort(pages)
	if err := l.server.Client.HDel(l.Context(), l.prefix+"pages", pages[0]).Err(); err != nil {
		l.Fatal(err)
	}
	return ids
}

func TestATaskThatDiesWithoutItsMessageLeavesItsResultAndNoLetterThatNobodyCanRead(t *testing.T) {
	t.Parallel()
	l := newLossy(t)
	if _, err := l.store.Broker.Publish(t.Context(), message(t, "a")); err != nil {
		t.Fatal(err)
	}
	release := func(int) stem.Settlement { return stem.Settlement{Kind: stem.Release} }
	settle(t, l.store, release, claim(t, l.store, 1)...)
	ds := claim(t, l.store, 1)
	if err := l.server.Client.Del(t.Context(), l.prefix+"bodies").Err(); err != nil {
		t.Fatal(err)
	}
	settle(t, l.store, func(int) stem.Settlement {
		s := done(ds[0])
		s.Kind, s.Reason, s.Result.Status.State = stem.Dead, "broken", stem.Failed
		return s
	}, ds...)
	inspector := l.store.Broker.(stem.Inspector)
	if page, err := inspector.DeadLetters(t.Context(), stem.DeadLetterQuery{}); err != nil || len(page.Items) != 0 {
		t.Errorf("letters %+v, %v", page.Items, err)
	}
	if replayed, err := inspector.Replay(t.Context(), stem.Replay{}); err != nil || len(replayed) != 0 {
		t.Errorf("replayed %+v, %v", replayed, err)
	}
	if s, err := l.store.Results.Load(t.Context(), "a"); err != nil || s[0] == nil || s[0].State != stem.Failed {
		t.Errorf("status %+v, %v", s[0], err)
	}
}
