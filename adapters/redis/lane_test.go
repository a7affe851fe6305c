package redis_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

func TestAStayThatIsOverGivesWayToTheTaskThatComesBack(t *testing.T) {
	t.Parallel()
	store := apart(t, servers.Redis(t).URL(), "over")
	lane := store.Broker.(adapters.Lane)
	claim := func() stem.Delivery {
		t.Helper()
		ds, err := store.Broker.Claim(t.Context(), ask(time.Minute))
		if err != nil || len(ds) != 1 {
			t.Fatalf("claimed %v, %v", ds, err)
		}
		return ds[0]
	}
	if _, err := store.Broker.Publish(t.Context(), message(t, "a")); err != nil {
		t.Fatal(err)
	}
	first := claim()
	stays, err := lane.Stays(t.Context(), "a")
	if err != nil || stays[0] == nil {
		t.Fatal(stays, err)
	}
	back := adapters.Stay{Message: stays[0].Message, Token: "elsewhere", Over: stays[0].Token}
	back.Message.State.Attempt = 3
	other := back
	other.Token, other.Over = "another", stays[0].Token+"1"
	if err := lane.Adopt(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if lost, err := store.Broker.Extend(t.Context(), stem.Lease{Receipt: first.Receipt}); err != nil || len(lost) > 0 {
		t.Errorf("a stay that is not over ended: %v, %v", lost, err)
	}
	for range 2 {
		if err := lane.Adopt(t.Context(), back); err != nil {
			t.Fatal(err)
		}
	}
	if errs, err := store.Broker.Settle(t.Context(), done(first)); err != nil || !errors.Is(errs[0], stem.ErrLeaseLost) {
		t.Errorf("settling the claim that is over gave %v, %v", errs, err)
	}
	second := claim()
	if second.State.Attempt != 3 || second.Receipt.Epoch <= first.Receipt.Epoch {
		t.Errorf("claimed %+v after %+v", second, first)
	}
	if errs, err := store.Broker.Settle(t.Context(), done(second)); err != nil || errs[0] != nil {
		t.Error(errs, err)
	}
	if ds, err := store.Broker.Claim(t.Context(), ask(time.Minute)); err != nil || len(ds) > 0 {
		t.Errorf("left is %v, %v", ds, err)
	}
}
