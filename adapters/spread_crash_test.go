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

// archipelago is the lanes, directory, results and records that processes work on together.
type archipelago struct {
	*farm
	lanes           map[string]stem.Store
	directory, rest stem.Store
	every           []string // lanes that there can be; nil: nobody knows
}

func newArchipelago(t *testing.T) *archipelago {
	a := &archipelago{farm: newFarm(t), lanes: map[string]stem.Store{}}
	a.directory, a.rest = a.open(), a.open()
	return a
}

func (a *archipelago) open() stem.Store {
	return open(a.T, func(o *stem.StoreOptions) { o.Now = func() time.Time { return a.now } })
}

// as is the store as a process sees it.
func (a *archipelago) as(p *process) stem.Store {
	return adapters.Spread(adapters.Spreading{
		Lane: func(name string) stem.Store {
			s, ok := a.lanes[name]
			if !ok {
				s = a.open()
				a.lanes[name] = s
			}
			return stem.Store{Broker: dyingLane{dyingBroker{p, s.Broker}, s.Broker.(adapters.Lane)}, Results: s.Results}
		},
		Directory: stem.Store{Records: dyingRecords{a.directory.Records, p}},
		Results:   stem.Store{Results: dyingResults{a.rest.Results, p}}, Records: stem.Store{Records: dyingRecords{a.rest.Records, p}},
		Options: stem.NewStoreOptions(func(o *stem.StoreOptions) { o.Now = func() time.Time { return a.now } }),
	})
}

// dyingLane is a lane as a process sees it.
type dyingLane struct {
	dyingBroker
	lane
}

// lane is the part of adapters.Lane that is no Broker's.
type lane interface {
	stem.Inspector
	stem.Maintainer
	stem.Takeover
	Knows(ctx context.Context, ids ...string) ([]bool, error)
	Stays(ctx context.Context, ids ...string) ([]*adapters.Stay, error)
	Adopt(ctx context.Context, stays ...adapters.Stay) error
	Leave(ctx context.Context, stays ...adapters.Stay) error
	Forget(ctx context.Context, tokens ...string) error
	Outdate(ctx context.Context, ids []string, epochs []stem.Epoch) error
	Look(ctx context.Context, queues ...string) (adapters.Outlook, error)
	Await(ctx context.Context, wait time.Duration, queues ...string) (bool, error)
}

func (d dyingLane) Adopt(ctx context.Context, stays ...adapters.Stay) error {
	_, err := call(d.p, func() (struct{}, error) { return struct{}{}, d.lane.Adopt(ctx, stays...) })
	return err
}

func (d dyingLane) Leave(ctx context.Context, stays ...adapters.Stay) error {
	_, err := call(d.p, func() (struct{}, error) { return struct{}{}, d.lane.Leave(ctx, stays...) })
	return err
}

func (d dyingLane) Forget(ctx context.Context, tokens ...string) error {
	_, err := call(d.p, func() (struct{}, error) { return struct{}{}, d.lane.Forget(ctx, tokens...) })
	return err
}

func (d dyingLane) Purge(ctx context.Context, queue string) (int, error) {
	return call(d.p, func() (int, error) { return d.lane.Purge(ctx, queue) })
}

func (d dyingLane) Replay(ctx context.Context, r stem.Replay) ([]stem.Replayed, error) {
	return call(d.p, func() ([]stem.Replayed, error) { return d.lane.Replay(ctx, r) })
}

// in is a message of a queue, with a unique key if there is one.
func (a *archipelago) in(queue, id, key string) stem.Message {
	m := a.message(id)
	m.Queue, m.Unique = queue, stem.Reservation{Key: key, For: time.Hour}
	return m
}

func (a *archipelago) publish(s stem.Store, m stem.Message) stem.Published {
	a.Helper()
	out, err := s.Broker.Publish(a.Context(), m)
	if err != nil {
		a.Fatal(err)
	}
	return out[0]
}

func (a *archipelago) claim(s stem.Store, queues ...string) []stem.Delivery {
	a.Helper()
	c := stem.Claim{Max: 10, Owner: "node/boot"}
	for _, q := range queues {
		c.Queues = append(c.Queues, stem.QueueLimit{Queue: q})
	}
	ds, err := s.Broker.Claim(a.Context(), c)
	if err != nil {
		a.Fatal(err)
	}
	return ds
}

func (a *archipelago) settle(s stem.Store, settlement stem.Settlement) error {
	errs, err := s.Broker.Settle(a.Context(), settlement)
	if err != nil {
		return err
	}
	return errs[0]
}

// end settles what was claimed as succeeded.
func (a *archipelago) end(s stem.Store, ds ...stem.Delivery) {
	a.Helper()
	for _, d := range ds {
		status := stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Succeeded}
		if err := a.settle(s, stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: status}}); err != nil {
			a.Fatalf("ending %s: %v", d.ID, err)
		}
	}
}

// deaths has a process die at its n-th call, before or after it was carried out, for every n there is; do is what it works on and
// after looks at what is left.
func deaths(t *testing.T, least int, before, do func(a *archipelago, s stem.Store), after func(a *archipelago, s stem.Store)) {
	for _, perform := range []bool{false, true} {
		for dieAt := 1; ; dieAt++ {
			a := newArchipelago(t)
			if before != nil {
				before(a, a.as(&process{}))
			}
			p := &process{dieAt: dieAt, perform: perform}
			do(a, a.as(p))
			if !p.dead {
				if dieAt <= least {
					t.Errorf("a process that lives made %d calls", p.calls)
				}
				break
			}
			after(a, a.as(&process{}))
			if t.Failed() {
				t.Fatalf("when it died at call %d, carried out: %t", dieAt, perform)
			}
		}
	}
}

// pass lets leases end and what was about to be published be given up.
func (a *archipelago) pass() { a.now = a.now.Add(2 * time.Minute) }

func TestAPublisherThatDiesLeavesNoIDAndNoKeyThatStandsForNothing(t *testing.T) {
	deaths(t, 3, nil, func(a *archipelago, s stem.Store) {
		_, _ = s.Broker.Publish(t.Context(), a.in("q", "a", "k"))
	}, func(a *archipelago, s stem.Store) {
		a.pass()
		there := len(a.claim(s, "q")) == 1
		// Other queues and other tasks meet the same id and the same key.
		switch p := a.publish(s, a.in("r", "a", "")); {
		case there && (p.State != stem.Duplicate || p.ID != "a"), !there && p.State != stem.Accepted:
			t.Errorf("the task is there: %t; its id in another queue gave %+v", there, p)
		}
		a.end(s, a.claim(s, "r")...)
		switch p := a.publish(s, a.in("r", "b", "k")); {
		case there && (p.State != stem.Duplicate || p.ID != "a"), !there && p.State != stem.Accepted:
			t.Errorf("the task is there: %t; its key in another task gave %+v", there, p)
		}
	})
}

func TestAPublishThatIsRepeatedAfterADeathIsAcceptedOnce(t *testing.T) {
	deaths(t, 3, nil, func(a *archipelago, s stem.Store) {
		_, _ = s.Broker.Publish(t.Context(), a.in("q", "a", "k"))
	}, func(a *archipelago, s stem.Store) {
		if p := a.publish(s, a.in("q", "a", "k")); p.ID != "a" || p.State == stem.Rejected {
			t.Errorf("publishing again gave %+v", p)
		}
		if p := a.publish(s, a.in("r", "b", "k")); p.State != stem.Duplicate || p.ID != "a" {
			t.Errorf("the key in another task gave %+v", p)
		}
		ds := a.claim(s, "q", "r")
		if len(ds) != 1 {
			t.Errorf("claimed %v", ds)
		}
		a.end(s, ds...)
		if p := a.publish(s, a.in("r", "b", "k")); p.State != stem.Accepted {
			t.Errorf("after the end the key gave %+v", p)
		}
	})
}

// The mover dies at any moment; the other queue is worked on before anybody looks at the first one again, or after that.
func TestAMoveThatDiesOnTheWayRunsTheTaskOnce(t *testing.T) {
	for name, generated := range map[string]bool{"a chosen id": false, "a generated id": true} {
		for first, targetFirst := range map[string]bool{"the target is worked on first": true, "the source is": false} {
			t.Run(name+", "+first, func(t *testing.T) { moveAndDie(t, generated, targetFirst) })
		}
	}
}

func moveAndDie(t *testing.T, generated, targetFirst bool) {
	var d stem.Delivery
	move := func(a *archipelago, s stem.Store, d stem.Delivery) error {
		return a.settle(s, stem.Settlement{Receipt: d.Receipt, Kind: stem.Move, Queue: "r", State: &stem.State{Home: "q", Attempt: 3}})
	}
	deaths(t, 5, func(a *archipelago, s stem.Store) {
		m := a.in("q", "a", "k")
		m.GeneratedID = generated
		a.publish(s, m)
	}, func(a *archipelago, s stem.Store) {
		if ds, err := s.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot"}); err == nil && len(ds) == 1 {
			d = ds[0]
			_ = move(a, s, d)
		}
	}, func(a *archipelago, s stem.Store) {
		if p := a.publish(s, a.in("x", "b", "k")); p.State != stem.Duplicate || p.ID != "a" {
			t.Errorf("the key on the way gave %+v", p)
		}
		var runs []stem.Delivery
		work := func() {
			ds := a.claim(s, "r")
			runs = append(runs, ds...)
			a.end(s, ds...)
		}
		if targetFirst {
			work()
		}
		a.pass()
		for _, d := range a.claim(s, "q") {
			if err := move(a, s, d); err != nil {
				t.Error(err)
			}
		}
		work()
		if len(runs) != 1 || runs[0].State.Home != "q" || runs[0].State.Attempt != 3 || runs[0].Unique.Key != "k" {
			t.Errorf("ran %+v", runs)
		}
		if left := a.claim(s, "q", "r", "x"); len(left) > 0 {
			t.Errorf("left is %v", left)
		}
		if got := a.state(s, "a"); got != stem.Succeeded {
			t.Errorf("the task is %q", got)
		}
		if p := a.publish(s, a.in("x", "b", "k")); p.State != stem.Accepted {
			t.Errorf("after the end the key gave %+v", p)
		}
	})
}

// The mover dies at any moment, and the other queue sends the task back before the lease of its first claim is over.
func TestATaskThatIsSentBackBeforeItsMoverHasLeftIsNotLost(t *testing.T) {
	for name, generated := range map[string]bool{"a chosen id": false, "a generated id": true} {
		t.Run(name, func(t *testing.T) { moveAndReturn(t, generated) })
	}
}

func moveAndReturn(t *testing.T, generated bool) {
	deaths(t, 5, func(a *archipelago, s stem.Store) {
		m := a.in("q", "a", "k")
		m.GeneratedID = generated
		a.publish(s, m)
	}, func(a *archipelago, s stem.Store) {
		if ds, err := s.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot"}); err == nil && len(ds) == 1 {
			_ = a.settle(s, stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Move, Queue: "r"})
		}
	}, func(a *archipelago, s stem.Store) {
		for _, d := range a.claim(s, "r") {
			if err := a.settle(s, stem.Settlement{Receipt: d.Receipt, Kind: stem.Move, Queue: "q", State: &stem.State{Attempt: 3}}); err != nil {
				t.Error(err)
			}
		}
		ds := a.claim(s, "q", "r")
		a.pass()
		ds = append(ds, a.claim(s, "q", "r")...)
		for _, d := range ds[:max(len(ds)-1, 0)] { // claimed twice, as its lease ended
			if d.ID != "a" || d.Queue != ds[len(ds)-1].Queue {
				t.Errorf("claimed %v", ds)
			}
		}
		if len(ds) == 0 {
			t.Fatal("the task is lost")
		}
		a.end(s, ds[len(ds)-1])
		a.pass()
		if left := a.claim(s, "q", "r", "x"); len(left) > 0 {
			t.Errorf("left is %v", left)
		}
		if got := a.state(s, "a"); got != stem.Succeeded {
			t.Errorf("the task is %q", got)
		}
	})
}

func TestAMoveThatDiesOnTheWayLosesNoFollowUp(t *testing.T) {
	deaths(t, 6, func(a *archipelago, s stem.Store) { a.publish(s, a.in("q", "a", "")) }, func(a *archipelago, s stem.Store) {
		if ds, err := s.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot"}); err == nil && len(ds) == 1 {
			_ = a.settle(s, stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Move, Queue: "r", Then: []stem.Message{a.in("x", "child", "")}})
		}
	}, func(a *archipelago, s stem.Store) {
		a.pass()
		moved := len(a.claim(s, "q")) == 0
		if child := a.claim(s, "x"); moved && len(child) != 1 {
			t.Errorf("the follow-up came as %v", child)
		}
	})
}

func TestAMoveThereAndBackAgainIsNoDuplicate(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("q", "a", ""))
	at := "q"
	for _, to := range []string{"r", "q", "r", "q"} {
		ds := a.claim(s, at)
		if len(ds) != 1 {
			t.Fatalf("in %s there is %v", at, ds)
		}
		if err := a.settle(s, stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Move, Queue: to}); err != nil {
			t.Fatal(err)
		}
		at = to
	}
	a.end(s, a.claim(s, at)...)
	if got := a.state(s, "a"); got != stem.Succeeded {
		t.Errorf("the task is %q", got)
	}
}

// A task ends with a follow-up in another queue that inherits its unique key.
func TestAnEndThatDiesOnTheWayHasItsFollowUpOnceAndGivesItTheKey(t *testing.T) {
	end := func(a *archipelago, s stem.Store, d stem.Delivery) error {
		status := stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Succeeded}
		return a.settle(s, stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: status}, Then: []stem.Message{a.in("r", "child", "k")}})
	}
	deaths(t, 8, func(a *archipelago, s stem.Store) { a.publish(s, a.in("q", "a", "k")) }, func(a *archipelago, s stem.Store) {
		if ds, err := s.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot"}); err == nil && len(ds) == 1 {
			_ = end(a, s, ds[0])
		}
	}, func(a *archipelago, s stem.Store) {
		a.pass()
		for _, d := range a.claim(s, "q") {
			if err := end(a, s, d); err != nil {
				t.Error(err)
			}
		}
		if p := a.publish(s, a.in("x", "b", "k")); p.State != stem.Duplicate || p.ID != "child" {
			t.Errorf("the key gave %+v", p)
		}
		ds := a.claim(s, "r")
		if len(ds) != 1 || ds[0].ID != "child" {
			t.Errorf("the follow-up came as %v", ds)
		}
		a.end(s, ds...)
		if got := []stem.TaskState{a.state(s, "a"), a.state(s, "child")}; !slices.Equal(got, []stem.TaskState{stem.Succeeded, stem.Succeeded}) {
			t.Errorf("the tasks are %q", got)
		}
		if p := a.publish(s, a.in("x", "b", "k")); p.State != stem.Accepted {
			t.Errorf("after the end the key gave %+v", p)
		}
	})
}

func TestAReplayThatDiesOnTheWayLeavesALetterOrATaskAndItsKeyCountsForThat(t *testing.T) {
	deaths(t, 2, func(a *archipelago, s stem.Store) {
		a.publish(s, a.in("q", "a", "k"))
		if err := a.settle(s, stem.Settlement{Receipt: a.claim(s, "q")[0].Receipt, Kind: stem.Dead}); err != nil {
			t.Fatal(err)
		}
	}, func(a *archipelago, s stem.Store) {
		_, _ = s.Broker.(stem.Inspector).Replay(t.Context(), stem.Replay{})
	}, func(a *archipelago, s stem.Store) {
		a.pass()
		page, err := s.Broker.(stem.Inspector).DeadLetters(t.Context(), stem.DeadLetterQuery{})
		if err != nil {
			t.Fatal(err)
		}
		ds := a.claim(s, "q")
		if len(page.Items)+len(ds) != 1 {
			t.Errorf("letters %v, tasks %v", page.Items, ds)
		}
		if p := a.publish(s, a.in("r", "b", "k")); (p.State == stem.Duplicate) != (len(ds) == 1) {
			t.Errorf("the task is there: %t; its key gave %+v", len(ds) == 1, p)
		}
	})
}

func TestALaneThatCanNotBeReachedHoldsUpNoOther(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("q", "a", ""))
	a.publish(s, a.in("r", "b", ""))
	p := &process{}
	gone := stem.Store{Broker: dyingLane{dyingBroker{p, a.lanes["q"].Broker}, a.lanes["q"].Broker.(adapters.Lane)}, Results: a.lanes["q"].Results}
	half := adapters.Spread(adapters.Spreading{
		Lane: func(name string) stem.Store {
			if name == "q" {
				return gone
			}
			return stem.Store{Broker: a.lanes[name].Broker, Results: a.lanes[name].Results}
		},
		Directory: stem.Store{Records: a.directory.Records}, Results: a.rest, Records: a.rest, Options: stem.NewStoreOptions(),
	})
	p.dead = true
	if ds := a.claim(half, "q", "r"); len(ds) != 1 || ds[0].ID != "b" {
		t.Errorf("claimed %v", ds)
	}
	c := stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}, {Queue: "r"}}, Max: 1, Owner: "node/boot", Wait: 50 * time.Millisecond}
	if ds, err := half.Broker.Claim(t.Context(), c); len(ds) > 0 || !errors.Is(err, errDead) || !errors.Is(err, stem.ErrUnreachable) {
		t.Errorf("with nothing else there claimed %v, %v", ds, err)
	}
	p.dead = false
	if ds := a.claim(half, "q", "r"); len(ds) != 1 || ds[0].ID != "a" {
		t.Errorf("claimed %v", ds)
	}
}
