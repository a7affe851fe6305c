package redis_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// moved is a store with the task "a" claimed, its claim, and its stay.
func moved(t *testing.T, namespace string) (stem.Store, stem.Delivery, adapters.Stay) {
	t.Helper()
	store := apart(t, servers.Redis(t).URL(), namespace)
	if _, err := store.Broker.Publish(t.Context(), message(t, "a")); err != nil {
		t.Fatal(err)
	}
	ds, err := store.Broker.Claim(t.Context(), ask(time.Minute))
	if err != nil || len(ds) != 1 {
		t.Fatalf("claimed %v, %v", ds, err)
	}
	stays, err := store.Broker.(adapters.Lane).Stays(t.Context(), "a")
	if err != nil || stays[0] == nil {
		t.Fatal(stays, err)
	}
	return store, ds[0], *stays[0]
}

func TestATaskLeavesTheStayThatIsNamedAndNoOther(t *testing.T) {
	t.Parallel()
	store, first, stay := moved(t, "leave")
	lane := store.Broker.(adapters.Lane)
	other := stay
	other.Token += "1"
	if err := lane.Leave(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if lost, err := store.Broker.Extend(t.Context(), stem.Lease{Receipt: first.Receipt}); err != nil || len(lost) > 0 {
		t.Errorf("a stay that was not named ended: %v, %v", lost, err)
	}
	for range 2 {
		if err := lane.Leave(t.Context(), stay); err != nil {
			t.Fatal(err)
		}
	}
	if errs, err := store.Broker.Settle(t.Context(), done(first)); err != nil || !errors.Is(errs[0], stem.ErrLeaseLost) {
		t.Errorf("settling the claim that is over gave %v, %v", errs, err)
	}
	if known, err := lane.Knows(t.Context(), "a"); err != nil || !known[0] {
		t.Errorf("its id is known: %v, %v", known, err)
	}
	if s, err := store.Results.Load(t.Context(), "a"); err != nil || s[0] != nil {
		t.Errorf("its status is %v, %v", s[0], err)
	}
	counts, err := store.Broker.(stem.Inspector).Queues(t.Context())
	if err != nil || len(counts) > 0 {
		t.Errorf("left is %v, %v", counts, err)
	}
}

func TestAStayIsAdoptedOnceHoweverLateAndAgainOnlyAfterItIsForgotten(t *testing.T) {
	t.Parallel()
	store, first, stay := moved(t, "adopt")
	clock := time.Now()
	other := apart(t, servers.Redis(t).URL(), "adopting", func(o *stem.StoreOptions) { o.Now = func() time.Time { return clock } })
	lane := other.Broker.(adapters.Lane)
	back := adapters.Stay{Message: stay.Message, Token: "elsewhere"}
	back.Message.State.Attempt = 3
	adopt := func() []stem.Delivery {
		t.Helper()
		if err := lane.Adopt(t.Context(), back); err != nil {
			t.Fatal(err)
		}
		ds, err := other.Broker.Claim(t.Context(), ask(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			if d.State.Attempt != 3 || d.Receipt.Epoch <= first.Receipt.Epoch {
				t.Errorf("claimed %+v after %+v", d, first)
			}
			if errs, err := other.Broker.Settle(t.Context(), done(d)); err != nil || errs[0] != nil {
				t.Error(errs, err)
			}
		}
		return ds
	}
	if ds := adopt(); len(ds) != 1 {
		t.Errorf("first claimed %v", ds)
	}
	for range 3 {
		clock = clock.Add(365 * 24 * time.Hour)
		if _, err := other.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ds := adopt(); len(ds) != 0 {
			t.Errorf("once more claimed %v", ds)
		}
	}
	if err := lane.Forget(t.Context(), "elsewhere", "unknown"); err != nil {
		t.Fatal(err)
	}
	if ds := adopt(); len(ds) != 0 {
		t.Errorf("claimed %v right after it was forgotten", ds)
	}
	clock = clock.Add(25 * time.Hour)
	if ds := adopt(); len(ds) != 1 {
		t.Errorf("a day later claimed %v", ds)
	}
	_ = store
}
