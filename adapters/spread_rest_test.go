package adapters_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// member is a message of a queue that belongs to a group.
func (a *archipelago) member(queue, id, group string) stem.Message {
	m := a.in(queue, id, "")
	header, err := stem.EncodeHeader(&stem.Header{ID: id, Name: "count", Canvas: stem.Canvas{GroupID: group}})
	if err != nil {
		a.Fatal(err)
	}
	m.Envelope.Header = header
	return m
}

// Who purges dies at any moment; then the store is maintained.
func TestAPurgeThatDiesOnTheWayCountsInTheGroupsWhatItHasCancelled(t *testing.T) {
	ids := []string{"a", "b", "c"}
	deaths(t, 4, func(a *archipelago, s stem.Store) {
		if err := s.Results.OpenGroups(t.Context(), stem.Group{ID: "g", Members: ids}); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			a.publish(s, a.member("q", id, "g"))
		}
	}, func(a *archipelago, s stem.Store) {
		_, _ = s.Broker.(stem.Inspector).Purge(t.Context(), "q")
	}, func(a *archipelago, s stem.Store) {
		a.pass()
		if _, err := s.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := a.claim(s, "q")
		groups, err := s.Results.LoadGroups(t.Context(), "g")
		if err != nil || groups[0] == nil {
			t.Fatal(groups, err)
		}
		if len(groups[0].Ended)+len(left) != len(ids) {
			t.Errorf("the group counts %v, and there is still %v", groups[0].Ended, left)
		}
		for _, id := range ids {
			if counted := groups[0].Ended[id]; counted != "" && a.state(s, id) != stem.Cancelled {
				t.Errorf("%s is counted as %q and is %q", id, counted, a.state(s, id))
			}
		}
	})
}

func TestAPurgeLeavesNoNoteBehind(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("q", "a", ""))
	if n, err := s.Broker.(stem.Inspector).Purge(t.Context(), "q"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	page, err := s.Records.List(t.Context(), stem.RecordQuery{})
	if err != nil || len(page.Items) > 0 {
		t.Errorf("left is %v, %v", page.Items, err)
	}
}

// after is a lane in which something happens right after the next settlement.
type after struct {
	adapters.Lane
	do func()
}

func (l *after) Settle(ctx context.Context, s ...stem.Settlement) ([]error, error) {
	errs, err := l.Lane.Settle(ctx, s...)
	if do := l.do; do != nil {
		l.do = nil
		do()
	}
	return errs, err
}

// A task dies, and whoever settled that stands still until the task has been published elsewhere, and has died there too.
func TestALetterDoesNotGoForAnEarlierOneOfItsTask(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("r", "first", ""))
	a.publish(s, a.in("q", "a", ""))
	bury := func(s stem.Store, queue string) {
		t.Helper()
		for _, d := range a.claim(s, queue) {
			if d.ID != "a" {
				continue
			}
			if err := a.settle(s, stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead, Reason: queue}); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := a.lanes["q"]
	l.Broker = &after{l.Broker.(adapters.Lane), func() {
		a.now = a.now.Add(2 * 24 * time.Hour)
		if p := a.publish(s, a.in("r", "a", "")); p.State != stem.Accepted {
			t.Fatalf("publishing gave %+v", p)
		}
		bury(s, "r")
	}}
	a.lanes["q"] = l
	bury(a.as(&process{}), "q")
	page, err := s.Broker.(stem.Inspector).DeadLetters(t.Context(), stem.DeadLetterQuery{})
	if err != nil || len(page.Items) != 1 || page.Items[0].Reason != "r" {
		t.Errorf("letters are %+v, %v", page.Items, err)
	}
}

func TestATaskOfAnOwnerThatIsGoneIsNotSaidToRun(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("q", "a", ""))
	a.publish(s, a.in("r", "b", ""))
	a.claim(s, "q", "r")
	if n, err := s.Broker.(stem.Takeover).ReleaseOwner(t.Context(), "node/boot"); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if got := []stem.TaskState{a.state(s, "a"), a.state(s, "b")}; !slices.Equal(got, []stem.TaskState{stem.Queued, stem.Queued}) {
		t.Errorf("the tasks are %q", got)
	}
}

// A settlement that needs the lease for a moment is refused; the claim goes on for as long as it had.
func TestASettlementThatIsRefusedCutsNoLeaseShort(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	long := func(queue string) stem.Claim {
		return stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: 1, Owner: "node/boot", Lease: time.Hour}
	}
	for _, queue := range []string{"q", "r"} {
		a.publish(s, a.in(queue, "in-"+queue, ""))
	}
	first, err := s.Broker.Claim(t.Context(), long("q"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{}
	moves := a.where(p, "gone")
	second, err := moves.Broker.Claim(t.Context(), long("r"))
	if err != nil {
		t.Fatal(err)
	}
	conflict := succeed(first[0])
	conflict.Save = []stem.RecordWrite{{Record: stem.Record{RecordRef: counter}, Op: stem.ReplaceRecord, IfVersion: 1}}
	if err := a.settle(s, conflict); !errors.Is(err, stem.ErrConflict) {
		t.Errorf("settling gave %v", err)
	}
	p.dead = true
	if err := a.settle(moves, stem.Settlement{Receipt: second[0].Receipt, Kind: stem.Move, Queue: "gone"}); !errors.Is(err, errDead) {
		t.Errorf("moving gave %v", err)
	}
	a.now = a.now.Add(50 * time.Minute)
	if ds := a.claim(s, "q", "r"); len(ds) > 0 {
		t.Errorf("claimed %v", ds)
	}
}

// Who is refused, or dies there, keeps a task that it claimed for a moment from others for no more than a moment.
func TestASettlementThatIsRefusedKeepsATaskNoLonger(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("q", "a", ""))
	ds, err := s.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot", Lease: 2 * time.Second})
	if err != nil || len(ds) != 1 {
		t.Fatalf("claimed %v, %v", ds, err)
	}
	conflict := succeed(ds[0])
	conflict.Save = []stem.RecordWrite{{Record: stem.Record{RecordRef: counter}, Op: stem.ReplaceRecord, IfVersion: 1}}
	if err := a.settle(s, conflict); !errors.Is(err, stem.ErrConflict) {
		t.Errorf("settling gave %v", err)
	}
	a.now = a.now.Add(6 * time.Second)
	if ds := a.claim(s, "q"); len(ds) != 1 {
		t.Errorf("claimed %v", ds)
	}
}

// What a lane that is closed can not do is not said to be done.
func TestASettlementInALaneThatIsClosedIsRefused(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("q", "a", ""))
	ds, err := s.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot"})
	if err != nil || len(ds) != 1 {
		t.Fatalf("claimed %v, %v", ds, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.settle(s, stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Release}); err == nil {
		t.Error("it was said to be done")
	}
}
