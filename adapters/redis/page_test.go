package redis_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
)

// book publishes n messages of one queue at once, more than one page of them, and gives their ids in order.
func book(t *testing.T, store stem.Store, n int, body func(i int) string) (ids []string) {
	t.Helper()
	msgs := make([]stem.Message, n)
	for i := range msgs {
		msgs[i] = message(t, fmt.Sprintf("task-%04d", i))
		if body != nil {
			msgs[i].Envelope.Body = []byte(body(i))
		}
		ids = append(ids, msgs[i].ID)
	}
	publish(t, store, msgs...)
	return ids
}

func claim(t *testing.T, store stem.Store, n int) []stem.Delivery {
	t.Helper()
	c := ask(time.Minute)
	c.Max = n
	ds, err := store.Broker.Claim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func settle(t *testing.T, store stem.Store, kind func(i int) stem.Settlement, ds ...stem.Delivery) {
	t.Helper()
	all := make([]stem.Settlement, len(ds))
	for i, d := range ds {
		all[i] = kind(i)
		all[i].Receipt = d.Receipt
	}
	errs, err := store.Broker.Settle(t.Context(), all...)
	if err := cmp.Or(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
}

func counts(t *testing.T, store stem.Store) (q stem.QueueCounts) {
	t.Helper()
	all, err := store.Broker.(stem.Inspector).Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) > 0 {
		q = all[0]
	}
	q.Oldest = 0
	return q
}

func idsOf(ds []stem.Delivery) (ids []string) {
	for _, d := range ds {
		ids = append(ids, d.ID)
	}
	return ids
}

// Everything that can happen to some tasks of a page happens, and the others are where they were.
func TestTasksPublishedTogetherStayInOrderWhateverHappensToSomeOfThem(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := fresh(servers.Redis(t).URL())(t, func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	ids := book(t, store, 400, nil)

	first := claim(t, store, 90)
	if got := idsOf(first); !slices.Equal(got, ids[:90]) {
		t.Fatalf("claimed %v", got)
	}
	settle(t, store, func(i int) stem.Settlement { return done(first[i]) }, first[:30]...)
	settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Release} }, first[31], first[30], first[40])
	settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Retry, At: now.Add(time.Hour)} }, first[50])
	settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Dead, Reason: "test"} }, first[60])
	if want, got := (stem.QueueCounts{Queue: queue, Ready: 313, Delayed: 1, Running: 55, Dead: 1}), counts(t, store); got != want {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
	second := claim(t, store, 100) // the released ones, and on into the second page
	want := append(slices.Clone(ids[90:187]), ids[30], ids[31], ids[40])
	slices.Sort(want)
	if got := idsOf(second); !slices.Equal(got, want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
	if lost, err := store.Broker.Extend(t.Context(), stem.Lease{Receipt: second[99].Receipt, For: time.Hour}, stem.Lease{Receipt: first[3].Receipt}); err != nil || len(lost) != 1 || lost[0].ID != ids[3] {
		t.Fatal(lost, err)
	}
	if errs, err := store.Broker.Settle(t.Context(), stem.Settlement{Receipt: first[31].Receipt}); err != nil || errs[0] == nil {
		t.Fatal("a claim was ended whose task had been released and claimed again", errs, err)
	}

	now = now.Add(2 * time.Minute)                                   // all leases end but that of task 186
	third := append(claim(t, store, 1000), claim(t, store, 1000)...) // not all leases are looked at in one call
	want = slices.Concat(ids[30:50], ids[51:60], ids[61:186], ids[187:])
	if got := slices.Sorted(slices.Values(idsOf(third))); !slices.Equal(got, want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
	for _, d := range third {
		if again := slices.Contains(ids[:187], d.ID); again != (d.State.Redeliveries > 0) {
			t.Fatalf("%s: %d redeliveries", d.ID, d.State.Redeliveries)
		}
	}
	if got := claim(t, store, 1); len(got) > 0 {
		t.Fatal(got)
	}
	settle(t, store, func(i int) stem.Settlement { return done(third[i]) }, third...)
	settle(t, store, func(int) stem.Settlement { return done(second[99]) }, second[99])
	if want, got := (stem.QueueCounts{Queue: queue, Delayed: 1, Dead: 1}), counts(t, store); got != want {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
	succeeded := 0
	for cursor := ""; ; {
		page, err := store.Results.List(t.Context(), stem.StatusQuery{Limit: 70, Cursor: cursor, State: stem.Succeeded})
		if err != nil {
			t.Fatal(err)
		}
		succeeded += len(page.Items)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if succeeded != 398 {
		t.Fatalf("%d are listed as succeeded, of 398", succeeded)
	}
}

func TestMessagesKeepTheirOrderThoughSomethingIsKnownOfSomeOfThem(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := fresh(servers.Redis(t).URL())(t, func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	for _, id := range []string{"task-0003", "task-0005"} {
		if _, err := store.Broker.Publish(t.Context(), message(t, id)); err != nil {
			t.Fatal(err)
		}
	}
	ended := claim(t, store, 1) // its id is forgotten before its result is
	settle(t, store, func(int) stem.Settlement {
		s := done(ended[0])
		s.Result.TTL = 1000 * time.Hour
		return s
	}, ended...)
	now = now.Add(999 * time.Hour)

	var msgs []stem.Message
	var want []string
	for i := range 700 {
		msgs = append(msgs, message(t, fmt.Sprintf("task-%04d", i)))
		if i != 5 {
			want = append(want, msgs[i].ID)
		}
	}
	out, err := store.Broker.Publish(t.Context(), msgs...)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range out {
		if duplicate := i == 5; p.ID != msgs[i].ID || (p.State == stem.Duplicate) != duplicate {
			t.Fatalf("%d: %+v", i, p)
		}
	}
	got := idsOf(append(claim(t, store, 500), claim(t, store, 500)...))
	if want := slices.Insert(want, 0, "task-0005"); !slices.Equal(got, want) {
		t.Fatalf("claimed %v", got)
	}
}

// A task is looked for in its page by its id, which may also stand in the messages of others, written just as it is before its own.
func TestATaskIsFoundAmongMessagesThatContainItsID(t *testing.T) {
	store := fresh(servers.Redis(t).URL())(t)
	body := func(i int) string { return "\x09\x00task-0003\x09\x00task-0007 of " + fmt.Sprint(i) }
	ids := book(t, store, 20, body)
	for _, id := range []string{ids[3], ids[7], ids[19]} {
		s, err := store.Results.Load(t.Context(), id)
		if err != nil || s[0] == nil || s[0].ID != id || s[0].State != stem.Queued {
			t.Fatalf("%s: %+v, %v", id, s[0], err)
		}
	}
	ds := claim(t, store, 20)
	settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Release} }, ds[7], ds[3])
	for i, d := range claim(t, store, 2) {
		if n := 3 + 4*i; d.ID != ids[n] || string(d.Envelope.Body) != body(n) {
			t.Fatalf("claimed %s with %q", d.ID, d.Envelope.Body)
		}
	}
}

// What has been taken from many results that were saved at once is only what has expired, and what outlives them is still listed.
func TestAResultThatIsKeptLongerThanThoseSavedWithItIsStillListed(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := fresh(servers.Redis(t).URL())(t, func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	ids := book(t, store, 50, nil)
	ds := claim(t, store, 50)
	settle(t, store, func(i int) stem.Settlement {
		s := done(ds[i])
		s.Result.TTL = time.Hour
		return s
	}, ds...)
	if err := store.Results.Expire(t.Context(), 3*time.Hour, ids[10]); err != nil {
		t.Fatal(err)
	}
	if err := store.Results.Expire(t.Context(), time.Minute, ids[20]); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		pass time.Duration
		left int
	}{{2 * time.Minute, 49}, {2 * time.Hour, 1}, {2 * time.Hour, 0}} {
		now = now.Add(step.pass)
		if _, err := store.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		page, err := store.Results.List(t.Context(), stem.StatusQuery{Limit: 100})
		if err != nil || len(page.Items) != step.left {
			t.Fatalf("%d are listed, of %d, %v", len(page.Items), step.left, err)
		}
		if step.left == 1 && page.Items[0].ID != ids[10] {
			t.Fatal(page.Items[0].ID)
		}
	}
}

// What waits in pages is purged page by page, and what does not with it.
func TestAQueueIsPurgedOfWhatWasPublishedTogetherAndOfTheRest(t *testing.T) {
	store := fresh(servers.Redis(t).URL())(t)
	ids := book(t, store, 700, nil)
	first := claim(t, store, 50)
	settle(t, store, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Release} }, first[10:20]...)
	for _, m := range []stem.Message{message(t, "urgent", stem.Priority(9)), message(t, "later", stem.Delay(time.Hour)), message(t, "alone")} {
		if _, err := store.Broker.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := store.Broker.(stem.Inspector).Purge(t.Context(), queue); err != nil || n != 663 {
		t.Fatalf("%d were purged, of 663, %v", n, err)
	}
	if want, got := (stem.QueueCounts{Queue: queue, Running: 40}), counts(t, store); got != want {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
	states := map[stem.TaskState]int{}
	all, err := store.Results.Load(t.Context(), append(ids, "urgent", "later", "alone")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		states[s.State]++
	}
	if states[stem.Cancelled] != 663 || states[stem.Running] != 40 {
		t.Fatal(states)
	}
	if out, err := store.Broker.Publish(t.Context(), message(t, ids[100])); err != nil || out[0].State != stem.Duplicate {
		t.Fatalf("a chosen id is accepted again soon after: %+v, %v", out, err)
	}
}

// What became due while nobody looked is more than a claim looks at: whoever takes some rings for the rest.
func TestWhoTakesSomeOfManyThatAreDueRingsForTheRest(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := fresh(servers.Redis(t).URL())(t, func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	const many = 700
	msgs := make([]stem.Message, many)
	for i := range msgs {
		msgs[i] = message(t, fmt.Sprintf("due-%04d", i), stem.ETA(now.Add(time.Minute)))
	}
	if _, err := store.Broker.Publish(t.Context(), msgs...); err != nil {
		t.Fatal(err)
	}
	_, prefix, _ := strings.Cut(store.Info.URL, "#")
	bell := "{" + prefix + store.Info.Namespace + "}:q:" + queue + ":b"
	now = now.Add(time.Hour)
	for _, lease := range []string{"delayed", "claimed by who is gone"} {
		for left := many; left > 0; {
			left -= len(claim(t, store, 512))
			rung, err := servers.Redis(t).Client.ZPopMin(t.Context(), bell).Result()
			if err != nil || left > 0 && len(rung) == 0 {
				t.Fatalf("%s: %d are left, rung %v, %v", lease, left, rung, err)
			}
		}
		now = now.Add(time.Hour)
	}
}

// Who claims some of a page reads it after the claim. A program that is stopped right then, for longer than its lease, finds that others have
// ended the tasks.
func TestWhoSleepsThroughItsLeaseGetsNothingAndIsToldOfNoLoss(t *testing.T) {
	t.Parallel()
	store := fresh(servers.Redis(t).URL())(t)
	const tasks = 20
	book(t, store, tasks, nil)
	c := ask(time.Minute)
	c.Max = tasks
	read, err := redis.ClaimInTwo(t.Context(), store, c)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := store.Broker.(stem.Takeover).ReleaseOwner(t.Context(), owner); err != nil || n != tasks {
		t.Fatalf("%d of %d were given back, %v", n, tasks, err)
	}
	ds := claim(t, store, tasks)
	settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
	if late, err := read(); err != nil || len(late) > 0 {
		t.Errorf("%d tasks came late, %v", len(late), err)
	}
	if q := counts(t, store); q != (stem.QueueCounts{}) {
		t.Errorf("counts %+v", q)
	}
}
