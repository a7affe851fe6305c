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

// What an inbox has that is no message costs nothing but itself.
func TestWhatIsNoMessageInAnInboxCostsNoOther(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	ids := boxed(t, server, store, 3)
	if err := server.Client.Append(t.Context(), "{stem}:q:"+queue+":i", "garbage").Err(); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Results.Load(t.Context(), ids...); err != nil || s[2] == nil {
		t.Errorf("%+v, %v", s, err)
	}
	if ds := claim(t, store, 10); len(ds) != 3 {
		t.Errorf("claimed %d", len(ds))
	}
	if err := server.Client.Append(t.Context(), "{stem}:q:"+queue+":i", "garbage").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Broker.Claim(t.Context(), ask(time.Minute)); !errors.Is(err, stem.ErrCorrupt) {
		t.Errorf("a claim of nothing else: %v", err)
	}
	boxed(t, server, store, 1)
	if ds := claim(t, store, 10); len(ds) != 1 {
		t.Errorf("claimed %d later", len(ds))
	}
}

// Who pages through a queue comes to its end, whatever comes into others.
func TestAQueueIsBrowsedToItsEndWhileAnotherIsBusy(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	for name, look := range map[string]stem.Store{"by who may not write": open(t, server.URL(), func(o *stem.StoreOptions) { o.ReadOnly = true }), "by who may": store} {
		if _, err := store.Broker.(stem.Inspector).Purge(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		want, got := boxed(t, server, store, 40), []string{}
		for cursor := ""; len(got) <= len(want); {
			page, err := look.Broker.(stem.Inspector).Browse(t.Context(), stem.BrowseQuery{Queue: queue, Limit: 10, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range page.Items {
				got = append(got, s.ID)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
			for range 20 {
				m := single(t)
				m.Queue, m.Lease = "another", time.Hour // which is in no inbox
				publish(t, store, m)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d tasks, want %d, in order", name, len(got), len(want))
		}
	}
}

// A batch among whose messages are such as wait in the inbox, which who publishes them again ought to have said, runs none of them twice.
func TestAPageOfWhatIsInTheInboxAlreadyIsThereOnce(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	var msgs []stem.Message
	for range 60 {
		msgs = append(msgs, single(t))
	}
	publish(t, store, msgs[:15]...)
	out, err := store.Broker.Publish(t.Context(), msgs...)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range out {
		if want := i < 15; (p.State == stem.Duplicate) != want {
			t.Errorf("message %d: %+v", i, p)
		}
	}
	if ds := claim(t, store, 100); len(ds) != len(msgs) {
		t.Errorf("claimed %d", len(ds))
	}
}

// However many queues have something in their inboxes, who takes one task sorts one of them.
func TestWhoTakesOneTaskSortsOneInbox(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	c := stem.Claim{Max: 1, Lease: time.Minute, Owner: owner}
	for n := range 10 {
		for range 3 {
			m := single(t)
			m.Queue = fmt.Sprintf("queue-%d", n)
			publish(t, store, m)
		}
		c.Queues = append(c.Queues, stem.QueueLimit{Queue: fmt.Sprintf("queue-%d", n)})
	}
	left := func() int {
		keys, err := server.Client.Keys(t.Context(), "{stem}:q:*:i").Result()
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	for n := range 3 {
		ds, err := store.Broker.Claim(t.Context(), c)
		if err != nil || len(ds) != 1 || ds[0].Queue != "queue-0" || left() != 9 {
			t.Fatalf("claim %d: %+v, %v; %d inboxes are left", n, ds, err, left())
		}
	}
	for n := range 9 { // the rings of the others are still there
		if rung, err := server.Client.Exists(t.Context(), fmt.Sprintf("{stem}:q:queue-%d:b", n+1)).Result(); rung != 1 || err != nil {
			t.Errorf("the bell of queue-%d: %d, %v", n+1, rung, err)
		}
	}
}

// heap puts n tasks into an inbox that nobody sorts however large it becomes, the first of them as often as said.
func heap(t *testing.T, server *testserver.Redis, store stem.Store, n, times int) (ids []string, size int64) {
	t.Helper()
	var whole strings.Builder
	for i := range n {
		m := single(t)
		m.Envelope.Body = make([]byte, 3000)
		publish(t, store, m)
		ids = append(ids, m.ID)
		one, err := server.Client.GetDel(t.Context(), "{stem}:q:"+queue+":i").Result()
		if err != nil {
			t.Fatal(err)
		}
		whole.WriteString(one)
		if i == 0 {
			whole.WriteString(strings.Repeat(one, times-1))
		}
	}
	if err := server.Client.Set(t.Context(), "{stem}:q:"+queue+":i", whole.String(), 0).Err(); err != nil {
		t.Fatal(err)
	}
	return ids, int64(whole.Len())
}

// A large inbox is sorted in parts, and each part in its turn.
func TestALargeInboxIsSortedInParts(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	want, whole := heap(t, server, store, 600, 1)
	ds := claim(t, store, 1)
	if size, err := server.Client.StrLen(t.Context(), "{stem}:q:"+queue+":i").Result(); err != nil || size == 0 || size >= whole {
		t.Fatalf("%d of %d bytes are left, %v", size, whole, err)
	}
	got := []string{ds[0].ID}
	for ds = claim(t, store, 100); len(ds) > 0; ds = claim(t, store, 100) {
		for _, d := range ds {
			got = append(got, d.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("claimed %d, want %d, in order", len(got), len(want))
	}
}

func TestATaskWhoseStatusIsSavedInItsInboxIsListedOnce(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	ids := boxed(t, server, store, 12)
	if err := store.Results.Save(t.Context(), stem.StatusWrite{Status: stem.Status{ID: ids[3], State: stem.Queued, Queue: queue}}); err != nil {
		t.Fatal(err)
	}
	ds := claim(t, store, 20)
	settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
	page, err := store.Results.List(t.Context(), stem.StatusQuery{Limit: 100})
	if err != nil || len(page.Items) != len(ids) {
		t.Errorf("%d listed, want %d, %v", len(page.Items), len(ids), err)
	}
}

// A producer may die between his commands, and who sorts may come between them.
func TestWhatIsNotedOfAnInboxIsMended(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	if err := server.Client.SAdd(t.Context(), "{stem}:inboxes", "another").Err(); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Results.Load(t.Context(), stem.NewID()); err != nil || s[0] != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if left, err := server.Client.SMembers(t.Context(), "{stem}:inboxes").Result(); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	publish(t, store, message(t, "first"))
	settle(t, store, func(int) stem.Settlement { return stem.Settlement{} }, claim(t, store, 1)...)
	ids := boxed(t, server, store, 2)
	if err := server.Client.SRem(t.Context(), "{stem}:inboxes", queue).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Results.Load(t.Context(), ids...); err != nil || s[0] == nil || s[1] == nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// What is small but for its signature is not: it goes another way.
func TestATaskWithALargeSignatureIsThereLikeAnyOther(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	want := boxed(t, server, store, 1)
	large := single(t)
	large.Envelope.Signature = make([]byte, 600<<10)
	publish(t, store, large)
	want = append(want, large.ID)
	want = append(want, boxed(t, server, store, 1)...)
	claimsOnly(t, store, want)
}

// An item that looks like one and is no message does not keep a settlement from what it has begun.
func TestAMoveIntoAQueueWhoseInboxIsBrokenIsDone(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	publish(t, store, message(t, "moves"))
	held := claim(t, store, 1)
	item := make([]byte, 8, 200)
	item = append(item, 1, 0, 'x', 60, 0, 0, 0)
	for range 60 {
		item = append(item, 0xff)
	}
	if err := server.Client.Append(t.Context(), "{stem}:q:other:i", string(item)).Err(); err != nil {
		t.Fatal(err)
	}
	settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Move, Queue: "other"} }, held...)
	c := ask(time.Minute)
	c.Queues = []stem.QueueLimit{{Queue: "other"}}
	if ds, err := store.Broker.Claim(t.Context(), c); err != nil || len(ds) != 1 || ds[0].ID != "moves" {
		t.Errorf("claimed %+v, %v", ds, err)
	}
}

// A message that came twice does not have more sorted at a time.
func TestALargeInboxWithAMessageTwiceIsSortedInParts(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	_, whole := heap(t, server, store, 400, 2)
	claim(t, store, 1)
	if size, err := server.Client.StrLen(t.Context(), "{stem}:q:"+queue+":i").Result(); err != nil || size < whole/2 {
		t.Fatalf("%d of %d bytes are left, %v", size, whole, err)
	}
	ids := map[string]int{}
	for ds := claim(t, store, 100); len(ds) > 0; ds = claim(t, store, 100) {
		for _, d := range ds {
			ids[d.ID]++
		}
	}
	if len(ids) != 399 {
		t.Errorf("%d more were claimed, want 399", len(ids))
	}
}
