package redis_test

import (
	"strings"
	"testing"

	"github.com/stemd/stem"
)

// team is a group of these members whose callback is in the queue of all tests.
func team(t testing.TB, id string, members ...string) stem.Group {
	callback := message(t, "after-"+id)
	return stem.Group{ID: "group-of-" + id, Members: members, Callback: &callback}
}

func (f *faults) group(id string) *stem.GroupStatus {
	f.Helper()
	g, err := f.calm.Results.LoadGroups(f.Context(), "group-of-"+id)
	f.must(err)
	if g[0] == nil {
		f.Fatalf("the group of %s is gone", id)
	}
	return g[0]
}

// fired says that a group has counted its members and its callback is published once.
func (f *faults) fired(id string, members int) {
	f.Helper()
	if g := f.group(id); g.State != stem.GroupFired || len(g.Ended) != members {
		f.Fatalf("group of %s: %+v", id, g)
	}
	f.must(f.settle(f.calm, done(f.claim("after-"+id))))
	f.nothing()
}

func TestAGroupWhoseOpeningIsCutAnywhereIsWholeWhenItIsRepeated(t *testing.T) {
	f := newFaults(t)
	open := func(id string) error {
		return f.store.Results.OpenGroups(t.Context(), team(f, id, id+".a", id+".b", id+".c"))
	}
	f.everywhere(func(string) {}, open, func(id string, cut bool) {
		known, err := f.calm.Results.LoadGroups(t.Context(), "group-of-"+id)
		f.must(err)
		if known[0] == nil && !cut || known[0] != nil && (len(known[0].Members) != 3 || known[0].Callback == nil) {
			t.Fatalf("group %+v", known[0])
		}
		if cut {
			f.must(open(id))
		}
		for _, member := range []string{".a", ".b", ".c"} {
			tallied, err := f.calm.Results.Tally(t.Context(), stem.Tally{Group: "group-of-" + id, TaskID: id + member, Epoch: 1, State: stem.Succeeded})
			f.must(err)
			if last := member == ".c"; (tallied[0].State == stem.GroupFiring) != last || (tallied[0].Callback != nil) != last {
				t.Fatalf("after %s it is %+v", member, tallied[0])
			}
		}
	})
}

func TestATallyCutAnywhereCountsOnceAndTheCallbackIsPublishedOnce(t *testing.T) {
	f := newFaults(t)
	// What a store does whose settlement does not count by itself: count, publish, and say that it has fired.
	end := func(id string) error {
		tallied, err := f.store.Results.Tally(t.Context(), stem.Tally{Group: "group-of-" + id, TaskID: id, Epoch: 1, State: stem.Succeeded})
		if err != nil || tallied[0].Callback == nil {
			return err
		}
		if _, err := f.store.Broker.Publish(t.Context(), *tallied[0].Callback); err != nil {
			return err
		}
		return f.store.Results.Fired(t.Context(), "group-of-"+id)
	}
	f.repeats = true
	f.everywhere(func(id string) {
		f.must(f.calm.Results.OpenGroups(t.Context(), team(f, id, id, id+".b")))
		_, err := f.calm.Results.Tally(t.Context(), stem.Tally{Group: "group-of-" + id, TaskID: id + ".b", Epoch: 1, State: stem.Succeeded})
		f.must(err)
	}, end, func(id string, cut bool) {
		if cut {
			f.must(end(id))
		}
		f.fired(id, 2)
	})
}

func TestASettlementThatCompletesAGroupAndIsCutAnywhereFiresOnce(t *testing.T) {
	f := newFaults(t)
	var claimed stem.Delivery
	settle := func(id string) error {
		s := done(claimed)
		s.Tally = &stem.Tally{Group: "group-of-" + id, State: stem.Succeeded}
		return f.settle(f.store, s)
	}
	f.repeats = true
	f.everywhere(func(id string) {
		f.must(f.calm.Results.OpenGroups(t.Context(), team(f, id, id)))
		f.must(f.publish(f.calm, id))
		claimed = f.claim(id)
	}, settle, func(id string, cut bool) {
		if cut {
			if err := settle(id); err != nil && !strings.Contains(err.Error(), stem.ErrLeaseLost.Error()) {
				t.Fatal(err)
			}
		}
		f.ended(id)
		f.fired(id, 1)
	})
}
