package adapters_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// where is the store as it is while a part of it does not answer: everything that goes to a lane of these names goes through p.
func (a *archipelago) where(p *process, names ...string) stem.Store {
	well := &process{}
	return adapters.Spread(adapters.Spreading{
		Lane: func(name string) stem.Store {
			l, ok := a.lanes[name]
			if !ok {
				l = a.open()
				a.lanes[name] = l
			}
			through := well
			if slices.Contains(names, name) {
				through = p
			}
			return stem.Store{Broker: dyingLane{dyingBroker{through, l.Broker}, l.Broker.(adapters.Lane)}, Results: dyingResults{l.Results, through}}
		},
		Directory: stem.Store{Records: a.directory.Records}, Results: a.rest, Records: a.rest,
		Options: stem.NewStoreOptions(func(o *stem.StoreOptions) { o.Now = func() time.Time { return a.now } }),
	})
}

// succeed is a settlement of a claim as succeeded.
func succeed(d stem.Delivery) stem.Settlement {
	return stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Succeeded}}}
}

// Of two settlements of a batch one needs a queue that can not be reached: as its own, as where it moves to, or for its follow-up.
func TestASettlementDoesNotFailWithAQueueThatItDoesNotNeed(t *testing.T) {
	for name, needs := range map[string]func(a *archipelago, d stem.Delivery) stem.Settlement{
		"its own": func(_ *archipelago, d stem.Delivery) stem.Settlement { return succeed(d) },
		"where it moves to": func(_ *archipelago, d stem.Delivery) stem.Settlement {
			return stem.Settlement{Receipt: d.Receipt, Kind: stem.Move, Queue: "gone"}
		},
		"for its follow-up": func(a *archipelago, d stem.Delivery) stem.Settlement {
			s := succeed(d)
			s.Then = []stem.Message{a.in("gone", "child", "")}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchipelago(t)
			well := a.as(&process{})
			queue := "q"
			if name == "its own" {
				queue = "gone"
			}
			a.publish(well, a.in(queue, "a", ""))
			a.publish(well, a.in("r", "b", ""))
			p := &process{}
			s := a.where(p, "gone")
			var batch []stem.Settlement
			for _, d := range a.claim(s, queue, "r") {
				if d.ID == "a" {
					batch = append(batch, needs(a, d))
				} else {
					batch = append(batch, succeed(d))
				}
			}
			if len(batch) != 2 {
				t.Fatalf("claimed %d", len(batch))
			}
			p.dead = true
			errs, err := s.Broker.Settle(t.Context(), batch...)
			if err != nil || !errors.Is(errs[0], stem.ErrUnreachable) || !errors.Is(errs[0], errDead) || errs[1] != nil {
				t.Fatalf("settling gave %v, %v", errs, err)
			}
			if got := a.state(well, "b"); got != stem.Succeeded {
				t.Errorf("the other task is %q", got)
			}
			if _, err := s.Broker.Settle(t.Context(), batch[0]); !errors.Is(err, errDead) {
				t.Errorf("settling what can not be settled alone gave %v", err)
			}
			p.dead = false
			if errs, err := s.Broker.Settle(t.Context(), batch[0]); err != nil || errs[0] != nil {
				t.Errorf("settling again gave %v, %v", errs, err)
			}
			left := a.claim(s, "q", "r", "gone")
			if want := name != "its own"; (len(left) == 1) != want {
				t.Errorf("left is %v", left)
			}
		})
	}
}

// silent is a lane that neither answers nor refuses.
type silent struct{ adapters.Lane }

func (silent) Settle(ctx context.Context, _ ...stem.Settlement) ([]error, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (silent) Extend(ctx context.Context, _ ...stem.Lease) ([]stem.Receipt, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestASettlementWaitsSecondsForAQueueThatDoesNotAnswerAndThenGoesOnWithoutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchipelago(t)
		s := a.as(&process{})
		a.publish(s, a.in("gone", "a", ""))
		a.publish(s, a.in("r", "b", ""))
		var batch []stem.Settlement
		for _, d := range a.claim(s, "gone", "r") {
			batch = append(batch, succeed(d))
		}
		l := a.lanes["gone"]
		l.Broker = silent{l.Broker.(adapters.Lane)}
		a.lanes["gone"] = l
		begun := time.Now()
		errs, err := a.as(&process{}).Broker.Settle(t.Context(), batch...)
		if err != nil || !errors.Is(errs[0], stem.ErrUnreachable) || errs[1] != nil {
			t.Errorf("settling gave %v, %v", errs, err)
		}
		if took := time.Since(begun); took > 20*time.Second { // of the bubble's clock
			t.Errorf("it took %v", took)
		}
	})
}

// partial are results of which those of some tasks can not be reached.
type partial struct {
	stem.Results
	p    *process
	gone []string
}

func (r partial) Save(ctx context.Context, writes ...stem.StatusWrite) error {
	for _, w := range writes {
		if slices.Contains(r.gone, w.Status.ID) {
			_, err := call(r.p, func() (struct{}, error) { return struct{}{}, nil })
			if err != nil {
				return err
			}
		}
	}
	return r.Results.Save(ctx, writes...)
}

func TestAClaimIsNotHeldUpByATaskWhoseResultCanNotBeReached(t *testing.T) {
	f := newFarm(t)
	p := &process{}
	results := f.results
	results.Results = partial{f.results.Results, p, []string{"a"}}
	s := adapters.Compose(f.broker, results, f.records)
	if _, err := s.Broker.Publish(t.Context(), f.message("a"), f.message("b"), f.message("c")); err != nil {
		t.Fatal(err)
	}
	claim := func(most int) (ids []string) {
		t.Helper()
		ds, err := s.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: most, Owner: "node/boot"})
		if err != nil && !errors.Is(err, stem.ErrUnreachable) {
			t.Fatal(err)
		}
		for _, d := range ds {
			if ids = append(ids, d.ID); d.State.Redeliveries != 0 {
				t.Errorf("%s was delivered again", d.ID)
			}
		}
		return ids
	}
	p.dead = true
	if got := claim(2); !slices.Equal(got, []string{"b"}) {
		t.Errorf("claimed %v", got)
	}
	if got := claim(2); !slices.Equal(got, []string{"c"}) {
		t.Errorf("then claimed %v", got)
	}
	p.dead = false
	f.now = f.now.Add(6 * time.Second)
	if got := claim(2); !slices.Equal(got, []string{"a"}) {
		t.Errorf("at last claimed %v", got)
	}
}

// A lane that is away keeps nobody from seeing what is in the others, and what is seen is not taken for all there is.
func TestListsShowWhatCanBeReachedAndSayThatSomethingIsMissing(t *testing.T) {
	a := newArchipelago(t)
	well := a.as(&process{})
	for _, queue := range []string{"gone", "r"} {
		a.publish(well, a.in(queue, "dead-"+queue, ""))
		if err := a.settle(well, stem.Settlement{Receipt: a.claim(well, queue)[0].Receipt, Kind: stem.Dead}); err != nil {
			t.Fatal(err)
		}
		a.publish(well, a.in(queue, "live-"+queue, ""))
	}
	s, w := a.missing("queue:gone")
	inspector := s.Broker.(stem.Inspector)
	w.down = true
	counts, err := inspector.Queues(t.Context())
	if len(counts) != 1 || counts[0].Queue != "r" || !errors.Is(err, stem.ErrUnreachable) || !errors.Is(err, errDead) {
		t.Errorf("the counts are %v, %v", counts, err)
	}
	page, err := inspector.DeadLetters(t.Context(), stem.DeadLetterQuery{})
	if len(page.Items) != 1 || page.Items[0].Message.ID != "dead-r" || !errors.Is(err, stem.ErrUnreachable) {
		t.Errorf("the letters are %v, %v", page.Items, err)
	}
	if out, err := inspector.Replay(t.Context(), stem.Replay{}); err == nil {
		t.Errorf("replaying all gave %v", out)
	}
	if n, err := inspector.PurgeDeadLetters(t.Context(), stem.DeadLetterQuery{Limit: 5}); err == nil {
		t.Errorf("purging the newest gave %d", n)
	}
	w.down = false
	if counts, err := inspector.Queues(t.Context()); len(counts) != 2 || err != nil {
		t.Errorf("then the counts are %v, %v", counts, err)
	}
	if page, err := inspector.DeadLetters(t.Context(), stem.DeadLetterQuery{}); len(page.Items) != 2 || err != nil {
		t.Errorf("then the letters are %v, %v", page.Items, err)
	}
}
