package redis_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// crowded is a store whose one queue holds far more claimed, due and ready tasks than one call to the server looks at.
func crowded(t *testing.T) (store stem.Store, each int) {
	t.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store = fresh(servers.Redis(t).URL())(t, func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	each = 1700
	publish := func(kind string, opts ...stem.Option) {
		var msgs []stem.Message
		for i := range each {
			msgs = append(msgs, message(t, fmt.Sprintf("%s-%04d", kind, i), opts...))
		}
		if _, err := store.Broker.Publish(t.Context(), msgs...); err != nil {
			t.Fatal(err)
		}
	}
	publish("runs")
	for left := each; left > 0; { // many leases end together
		c := ask(time.Hour)
		c.Max = 500
		ds, err := store.Broker.Claim(t.Context(), c)
		if err != nil || len(ds) == 0 {
			t.Fatal(len(ds), err)
		}
		left -= len(ds)
	}
	publish("due", stem.ETA(now.Add(time.Minute)))
	publish("ready")
	publish("later", stem.ETA(now.Add(time.Hour)))
	now = now.Add(2 * time.Minute)
	return store, each
}

func TestAQueueWithMoreThanOneCallLooksAtIsBrowsedWhole(t *testing.T) {
	store, each := crowded(t)
	for _, limit := range []int{1000, 333} {
		var kinds []string
		seen := map[string]bool{}
		for q := (stem.BrowseQuery{Queue: queue, Limit: limit}); ; {
			page, err := store.Broker.(stem.Inspector).Browse(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range page.Items {
				if seen[s.ID] {
					t.Fatalf("%s is listed twice", s.ID)
				}
				seen[s.ID] = true
				kinds = append(kinds, s.ID[:4])
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
			if len(page.Items) != limit {
				t.Fatalf("a page in the middle has %d of %d", len(page.Items), limit)
			}
		}
		if len(seen) != 4*each {
			t.Errorf("%d listed, want %d", len(seen), 4*each)
		}
		if got := slices.Compact(kinds); !slices.Equal(got, []string{"runs", "due-", "read", "due-", "late"}) {
			t.Errorf("in the order %v", got)
		}
	}
}

func TestTheListOfTasksHasAllThatRunOfALargeQueue(t *testing.T) {
	store, each := crowded(t)
	n := 0
	for q := (stem.StatusQuery{State: stem.Running, Limit: 400}); ; {
		page, err := store.Results.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Items)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if n != each {
		t.Errorf("%d run, want %d", n, each)
	}
}

func TestDeadLettersWithLargeBodiesComeInParts(t *testing.T) {
	store := fresh(servers.Redis(t).URL())(t)
	const n = 12
	for i := range n {
		m, err := stem.BuildMessage("stem", stem.NewHeader("test.task", stem.TaskID(fmt.Sprint("large-", i)), stem.Queue(queue)), make([]byte, 300<<10))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Broker.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		ds, err := store.Broker.Claim(t.Context(), ask(time.Minute))
		if err != nil || len(ds) != 1 {
			t.Fatal(ds, err)
		}
		errs, err := store.Broker.Settle(t.Context(), stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Dead, Reason: stem.ReasonPermanent})
		if err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
	}
	page, err := store.Broker.(stem.Inspector).DeadLetters(t.Context(), stem.DeadLetterQuery{Limit: n})
	if err != nil || len(page.Items) != n || page.More {
		t.Fatalf("%d letters, more %t, %v", len(page.Items), page.More, err)
	}
	for i, l := range page.Items {
		if want := fmt.Sprint("large-", n-1-i); l.Message.ID != want || len(l.Message.Envelope.Body) != 300<<10 {
			t.Errorf("letter %d is %s with %d bytes, want %s", i, l.Message.ID, len(l.Message.Envelope.Body), want)
		}
	}
	if page, err = store.Broker.(stem.Inspector).DeadLetters(t.Context(), stem.DeadLetterQuery{Limit: 5, Offset: 6}); err != nil || len(page.Items) != 5 || !page.More {
		t.Errorf("%d letters, more %t, %v", len(page.Items), page.More, err)
	}
}

// Tasks that were published one by one and together stand among each other, and whatever a part of the list ends with, the next goes on there.
func TestAQueueIsBrowsedWholeInPartsOfAnyLength(t *testing.T) {
	store := fresh(servers.Redis(t).URL())(t)
	var want []string
	for n := range 4 {
		var msgs []stem.Message
		for i := range 1 + 9*(n%2) {
			msgs = append(msgs, message(t, fmt.Sprintf("task-%d-%d", n, i)))
			want = append(want, msgs[i].ID)
		}
		if _, err := store.Broker.Publish(t.Context(), msgs...); err != nil {
			t.Fatal(err)
		}
	}
	for limit := range len(want) {
		var got []string
		for q := (stem.BrowseQuery{Queue: queue, Limit: limit + 1}); ; {
			page, err := store.Broker.(stem.Inspector).Browse(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range page.Items {
				got = append(got, s.ID)
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in parts of %d: %v", limit+1, got)
		}
	}
}

// Names of parts and tags may hold any bytes, also those between the names in the keys.
func TestAListOfRecordsPassesOverThoseOfAnotherWhoseNameBeginsLikeItsOwn(t *testing.T) {
	t.Parallel()
	store := fresh(servers.Redis(t).URL())(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	mine, other := "x", "x\x00y"
	save := func(part, id string) {
		t.Helper()
		r := stem.Record{RecordRef: stem.RecordRef{Kind: "k", Part: part, ID: id}, Tags: []string{part}}
		if _, err := store.Records.Save(ctx, stem.RecordWrite{Record: r}); err != nil {
			t.Fatal(err)
		}
	}
	save(mine, "first")
	for i := range 30 {
		save(other, fmt.Sprint(i))
	}
	save(mine, "last")
	for _, q := range []stem.RecordQuery{{Kind: "k", Part: &mine}, {Kind: "k", Tag: mine}} {
		q.Limit = 5
		page, err := store.Records.List(ctx, q)
		if err != nil || len(page.Items) != 2 || page.Items[0].ID != "first" || page.Items[1].ID != "last" || page.Next != "" {
			t.Errorf("listed %+v, %v", page, err)
		}
	}
}
