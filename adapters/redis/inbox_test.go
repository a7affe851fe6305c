package redis_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

func publish(t *testing.T, store stem.Store, msgs ...stem.Message) {
	t.Helper()
	out, err := store.Broker.Publish(t.Context(), msgs...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range out {
		if p.State != stem.Accepted {
			t.Fatalf("%+v", p)
		}
	}
}

// boxed publishes n tasks one by one, which nobody sorts.
func boxed(t *testing.T, server *testserver.Redis, store stem.Store, n int) (ids []string) {
	t.Helper()
	for range n {
		m := single(t)
		publish(t, store, m)
		ids = append(ids, m.ID)
	}
	if size, err := server.Client.StrLen(t.Context(), "{stem}:q:"+queue+":i").Result(); err != nil || n > 0 && size == 0 {
		t.Fatalf("there are %d bytes in the inbox, %v", size, err)
	}
	if n > 0 && !told(t, server, queue) {
		t.Fatal("there is neither a ring nor an offer")
	}
	return ids
}

// What is in an inbox is seen as if it were sorted, also by who may not write and so can not sort it.
func TestWhatIsInAnInboxIsSeenAndStaysThere(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	ids := boxed(t, server, store, 20)
	before := dump(t, server, "stem")
	reader := open(t, server.URL(), func(o *stem.StoreOptions) { o.ReadOnly = true })
	for _, id := range ids {
		if s, err := reader.Results.Load(t.Context(), id, "nobody"); err != nil || s[0] == nil || s[0].State != stem.Queued || s[0].Queue != queue || s[1] != nil {
			t.Fatalf("%s: %+v, %v", id, s, err)
		}
	}
	var listed []string
	for cursor := ""; ; {
		page, err := reader.Results.List(t.Context(), stem.StatusQuery{Limit: 7, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Items {
			listed = append(listed, s.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	slices.Reverse(listed)
	if !slices.Equal(listed, ids) {
		t.Errorf("listed %v, want %v, the newest first", listed, ids)
	}
	page, err := reader.Broker.(stem.Inspector).Browse(t.Context(), stem.BrowseQuery{Queue: queue})
	if err != nil || len(page.Items) != len(ids) || page.Items[0].ID != ids[0] || page.Items[19].ID != ids[19] {
		t.Errorf("browsed %+v, %v", page.Items, err)
	}
	if q := counts(t, reader); q.Ready != len(ids) {
		t.Errorf("counts %+v", q)
	}
	if after := dump(t, server, "stem"); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("looking has changed something")
	}
}

func TestATaskInAnInboxHasTheTimeOfItsPublishing(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	clock := func() time.Time {
		now, err := server.Client.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	for range 3 {
		before := clock()
		id := boxed(t, server, store, 1)[0]
		after := clock()
		until(t, "time passes", func() bool { return clock().After(after) })
		// The server told its time once, and its answer was on its way for less than this.
		ds := claim(t, store, 1)
		if at := ds[0].State.Created; ds[0].ID != id || at.Before(before.Add(-patience)) || at.After(after) {
			t.Errorf("created %s, published between %s and %s", at, before, after)
		}
	}
}

// Whatever else came before a message, who waits for its queue is told.
func TestTheBellIsRungForEachInboxThatWasEmpty(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	for n := range 4 {
		boxed(t, server, store, n)
		claim(t, store, 10)
		if err := server.Client.Del(t.Context(), "{stem}:q:"+queue+":b").Err(); err != nil { // as by who waited for it
			t.Fatal(err)
		}
		boxed(t, server, store, 1)
	}
}

// Nothing forgets a queue, or its ring, because all that it has is in its inbox.
func TestAQueueThatHasOnlyAnInboxIsKept(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	publish(t, store, message(t, "first"))
	settle(t, store, func(int) stem.Settlement { return stem.Settlement{} }, claim(t, store, 1)...)
	boxed(t, server, store, 2)
	if err := redis.Prune(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	if n, err := server.Client.Exists(t.Context(), "{stem}:q:"+queue+":b").Result(); n != 1 || err != nil {
		t.Errorf("the bell is there: %d, %v", n, err)
	}
	if known, err := server.Client.SIsMember(t.Context(), "{stem}:queues", queue).Result(); !known || err != nil {
		t.Errorf("the queue is known: %t, %v", known, err)
	}
}

func TestAnIDThatSomebodyCopiedIsADuplicateInAnyQueue(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	for _, queue := range []string{queue, "another"} {
		id := boxed(t, server, store, 1)[0]
		m := message(t, id)
		m.Queue = queue
		out, err := store.Broker.Publish(t.Context(), m)
		if err != nil || out[0].State != stem.Duplicate || out[0].ID != id {
			t.Errorf("into %s: %+v, %v", queue, out, err)
		}
	}
}

// What comes into a queue in any way is behind what is in its inbox, and before what comes there later.
func TestWhatComesIntoAQueueIsBehindItsInbox(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(*testing.T, stem.Store, []stem.Delivery) string{
		"with an id": func(t *testing.T, store stem.Store, _ []stem.Delivery) string {
			publish(t, store, message(t, "chosen"))
			return "chosen"
		},
		"with two ids": func(t *testing.T, store stem.Store, _ []stem.Delivery) string {
			publish(t, store, message(t, "first"), message(t, "second", stem.Priority(9)))
			if ds := claim(t, store, 1); ds[0].ID != "second" {
				t.Fatalf("claimed %s", ds[0].ID)
			}
			return "first"
		},
		"with a key": func(t *testing.T, store stem.Store, _ []stem.Delivery) string {
			m := single(t)
			m.Unique.Key = "key"
			publish(t, store, m)
			return m.ID
		},
		"large": func(t *testing.T, store stem.Store, _ []stem.Delivery) string {
			m := single(t)
			m.Envelope.Body = make([]byte, 100_000)
			publish(t, store, m)
			return m.ID
		},
		"moved": func(t *testing.T, store stem.Store, held []stem.Delivery) string {
			settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Move, Queue: queue} }, held[0])
			return held[0].ID
		},
		"as a follow-up": func(t *testing.T, store stem.Store, held []stem.Delivery) string {
			settle(t, store, func(int) stem.Settlement { return stem.Settlement{Then: []stem.Message{message(t, "next")}} }, held[0])
			return "next"
		},
		"replayed": func(t *testing.T, store stem.Store, held []stem.Delivery) string {
			settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Move, Queue: queue} }, held[0])
			ds := claim(t, store, 1)
			for ds[0].ID != held[0].ID {
				settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Release} }, ds[0])
				c := ask(time.Minute)
				c.Max = 10
				all, err := store.Broker.Claim(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				ds = all[len(all)-1:]
				settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Release} }, all[:len(all)-1]...)
			}
			settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Dead} }, ds[0])
			publish(t, store, single(t, stem.Priority(9)))
			if ds := claim(t, store, 1); len(ds) != 1 {
				t.Fatal(ds)
			}
			if _, err := store.Broker.(stem.Inspector).Replay(t.Context(), stem.Replay{}); err != nil {
				t.Fatal(err)
			}
			return held[0].ID
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testserver.NewRedis(t)
			store := open(t, server.URL())
			m := message(t, "elsewhere")
			m.Queue = "elsewhere"
			publish(t, store, m)
			held, err := store.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "elsewhere"}}, Max: 1, Lease: time.Hour, Owner: owner})
			if err != nil || len(held) != 1 {
				t.Fatal(held, err)
			}
			want := boxed(t, server, store, 3)
			want = append(want, put(t, store, held))
			want = append(want, boxed(t, server, store, 2)...)
			claimsOnly(t, store, want)
		})
	}
}

// claimsOnly claims all there is: tasks of these ids, in their order.
func claimsOnly(t *testing.T, store stem.Store, want []string) {
	t.Helper()
	var got []string
	for _, d := range claim(t, store, len(want)+1) {
		got = append(got, d.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
}

// Where nobody claims, those who publish sort, so what is to be read for a lookup stays small, and nothing is out of order.
func TestAnInboxThatNobodyEmptiesIsSortedByThoseWhoFillIt(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	var want []string
	for largest := int64(0); len(want) < 1500; {
		m := single(t, stem.Priority(len(want)%2))
		m.Envelope.Body = make([]byte, 300)
		publish(t, store, m)
		want = append(want, m.ID)
		size, err := server.Client.StrLen(t.Context(), "{stem}:q:"+queue+":i").Result()
		if largest = max(largest, size); err != nil || largest > 200_000 {
			t.Fatalf("%d bytes in the inbox, %v", size, err)
		}
	}
	if q := counts(t, store); q.Ready != len(want) {
		t.Fatalf("%+v", q)
	}
	var got []string
	for ds := claim(t, store, 100); len(ds) > 0; ds = claim(t, store, 100) {
		for _, d := range ds {
			got = append(got, d.ID)
		}
		settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
	}
	if odd := len(want) / 2; len(got) != len(want) || got[0] != want[1] || got[odd-1] != want[len(want)-1] || got[odd] != want[0] {
		t.Errorf("%d tasks came, from %s on, want %d, by priority and in order", len(got), got[0], len(want))
	}
	if _, err := store.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := server.Client.Keys(t.Context(), "{stem}:inboxes").Result(); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// Who watches a task is told what becomes of it though it came through an inbox.
func TestATaskThatIsWatchedInItsInboxIsSeenToRun(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	id := boxed(t, server, store, 1)[0]
	seen, err := store.Results.Watch(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if s := <-seen; s.State != stem.Queued {
		t.Fatalf("%+v", s)
	}
	ds := claim(t, store, 1)
	if s := <-seen; s.State != stem.Running {
		t.Fatalf("%+v", s)
	}
	settle(t, store, func(int) stem.Settlement { return done(ds[0]) }, ds...)
	if s := <-seen; s.State != stem.Succeeded {
		t.Fatalf("%+v", s)
	}
}

// An inbox that the server lost was never there.
func TestAServerThatLosesAnInboxLosesNothingElse(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	for _, key := range []string{"q:" + queue + ":i", "inboxes", "q:" + queue + ":b"} {
		ids := boxed(t, server, store, 3)
		if err := server.Client.Del(t.Context(), "{stem}:"+key).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Results.Load(t.Context(), ids...); err != nil {
			t.Fatal(err)
		}
		later := single(t)
		publish(t, store, later)
		ds := claim(t, store, 10)
		if last := ds[len(ds)-1]; last.ID != later.ID || key != "q:"+queue+":i" && len(ds) != 4 {
			t.Errorf("without %s: claimed %d, the last is %s", key, len(ds), last.ID)
		}
		settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
		if q := counts(t, store); q.Ready+q.Running != 0 {
			t.Errorf("without %s: counts %+v", key, q)
		}
	}
}

// A single task that does not fit is refused as such, and not taken.
func TestAFullServerRefusesASingleTask(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	ids := boxed(t, server, store, 2)
	if err := server.Client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Broker.Publish(t.Context(), single(t)); !errors.Is(err, stem.ErrStoreFull) {
		t.Errorf("error is %v", err)
	}
	for name, m := range map[string]stem.Message{"a task": message(t, "chosen"), "one with a copied id": message(t, ids[0])} {
		if _, err := store.Broker.Publish(t.Context(), m); name == "a task" && !errors.Is(err, stem.ErrStoreFull) {
			t.Errorf("%s behind the inbox: %v", name, err)
		}
	}
	if _, err := store.Broker.Publish(t.Context(), message(t, "one"), message(t, "two")); !errors.Is(err, stem.ErrStoreFull) {
		t.Errorf("two tasks behind the inbox: %v", err)
	}
	claimsOnly(t, store, ids)
}
