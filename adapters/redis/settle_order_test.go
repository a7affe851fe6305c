package redis_test

import (
	"errors"
	"testing"

	"github.com/stemd/stem"
)

// Of two settlements of one claim the first counts, also if it completes a group and so is asked for twice.
func TestTheFirstOfTwoSettlementsOfAClaimCountsThoughItCompletesAGroup(t *testing.T) {
	t.Parallel()
	store := open(t, servers.Redis(t).URL(), stem.Namespace(stem.NewID()))
	callback := message(t, "callback")
	if err := store.Results.OpenGroups(t.Context(), stem.Group{ID: "g", Members: []string{"a"}, Callback: &callback}); err != nil {
		t.Fatal(err)
	}
	publish(t, store, message(t, "a"))
	ds := claim(t, store, 1)
	first, second := done(ds[0]), stem.Settlement{Kind: stem.Retry, Receipt: ds[0].Receipt}
	first.Tally = &stem.Tally{Group: "g", State: stem.Succeeded}
	errs, err := store.Broker.Settle(t.Context(), first, second)
	if err != nil || errs[0] != nil || !errors.Is(errs[1], stem.ErrLeaseLost) {
		t.Fatal(errs, err)
	}
	if ds := claim(t, store, 5); len(ds) != 1 || ds[0].ID != "callback" {
		t.Errorf("claimed %+v", ds)
	}
}
