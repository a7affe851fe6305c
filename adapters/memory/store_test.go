package memory

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stemd/stem"
	"pgregory.net/rapid"
)

func TestOpenRefusesOtherSchemes(t *testing.T) {
	for _, u := range []string{"sqlite:///x", "", "memory", "://"} {
		if _, err := Open(t.Context(), u); err == nil {
			t.Errorf("%q was opened", u)
		}
	}
}

func TestEveryOpenIsAStoreOfItsOwn(t *testing.T) {
	a, b := must(Open(t.Context(), "memory://name")), must(Open(t.Context(), "mem://name"))
	if _, err := a.Broker.Publish(t.Context(), stem.Message{ID: "a", Name: "n", Queue: "q"}); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Results.Load(t.Context(), "a"); err != nil || got[0] != nil {
		t.Errorf("loaded %+v, %v", got[0], err)
	}
}

func TestAStoreOpenedForLookingIsNotWritten(t *testing.T) {
	s := must(Open(t.Context(), "memory://", func(o *stem.StoreOptions) { o.ReadOnly = true }))
	if _, err := s.Broker.Publish(t.Context(), stem.Message{ID: "a", Name: "n", Queue: "q"}); !errors.Is(err, stem.ErrReadOnly) {
		t.Errorf("Publish gave %v", err)
	}
	if _, err := s.Records.Save(t.Context(), stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "r"}}}); !errors.Is(err, stem.ErrReadOnly) {
		t.Errorf("Save gave %v", err)
	}
	if _, err := s.Results.Load(t.Context(), "a"); err != nil {
		t.Errorf("Load gave %v", err)
	}
}

func TestNothingIsLeftOfATaskThatEndedWithoutAResult(t *testing.T) {
	c := newCore(stem.NewStoreOptions())
	b := &broker{c}
	for round := range 3 {
		for i := range 100 {
			m := stem.Message{ID: fmt.Sprint(i), Name: "n", Queue: fmt.Sprint("q", i%7), Priority: i % 10, GeneratedID: true}
			if _, err := b.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			ds, err := b.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: m.Queue}}, Max: 1, Owner: "o"})
			if err != nil || len(ds) != 1 {
				t.Fatal(ds, err)
			}
			if errs, err := b.Settle(t.Context(), stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Done}); err != nil || errs[0] != nil {
				t.Fatal(errs, err)
			}
		}
		if len(c.entries) != 0 || len(c.queues) != 0 || c.recent.newest != nil || c.expiry.len() != 0 || c.seen.len() != 0 {
			t.Fatalf("round %d left %d entries and %d queues", round, len(c.entries), len(c.queues))
		}
	}
}

func TestALineOfTasksDoesNotGrowWhileItIsEmptiedAsFastAsItIsFilled(t *testing.T) {
	c := newCore(stem.NewStoreOptions())
	b := &broker{c}
	n := 0
	put := func() {
		n++
		if _, err := b.Publish(t.Context(), stem.Message{ID: fmt.Sprint(n), Name: "n", Queue: "q", GeneratedID: true}); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		put()
	}
	for range 10_000 {
		put()
		ds, err := b.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "o"})
		if err != nil {
			t.Fatal(err)
		}
		if errs, err := b.Settle(t.Context(), stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Done}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
	}
	if got := cap(c.queues["q"].lanes[0].line); got > 100 {
		t.Errorf("the line of 10 tasks has room for %d", got)
	}
}

// item of the heap under test.
type item struct{ key, at int }

func TestAHeapGivesItsItemsInOrderWhateverIsTakenOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := heap[*item]{less: func(a, b *item) bool { return a.key < b.key }, at: func(i *item) *int { return &i.at }}
		var model []*item
		drop := func(x *item) { model = slices.DeleteFunc(model, func(m *item) bool { return m == x }) }
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			switch action := rapid.IntRange(0, 3).Draw(t, "action"); {
			case action <= 1:
				x := &item{key: rapid.IntRange(0, 20).Draw(t, "key")}
				h.push(x)
				model = append(model, x)
			case len(model) > 0 && action == 2:
				x := h.pop()
				for _, m := range model {
					if m.key < x.key {
						t.Fatalf("popped %d before %d", x.key, m.key)
					}
				}
				drop(x)
			case len(model) > 0:
				x := model[rapid.IntRange(0, len(model)-1).Draw(t, "which")]
				h.remove(x)
				drop(x)
			}
			if h.len() != len(model) {
				t.Fatalf("the heap has %d items, want %d", h.len(), len(model))
			}
			limit, seen := rapid.IntRange(0, 20).Draw(t, "limit"), 0
			h.prefix(func(i *item) bool { return i.key <= limit }, func(*item) { seen++ })
			for _, m := range model {
				if h.items[m.at] != m {
					t.Fatal("an item does not know its place")
				}
				if m.key <= limit {
					seen--
				}
			}
			if seen != 0 {
				t.Fatalf("the prefix up to %d is off by %d", limit, seen)
			}
		}
	})
}

func must(s stem.Store, err error) stem.Store {
	if err != nil {
		panic(err)
	}
	return s
}
