package adapters_test

import (
	"context"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// hooked is a lane in which something happens just before the next publish.
type hooked struct {
	adapters.Lane
	before func()
}

func (h *hooked) Publish(ctx context.Context, m ...stem.Message) ([]stem.Published, error) {
	if do := h.before; do != nil {
		h.before = nil
		do()
	}
	return h.Lane.Publish(ctx, m...)
}

// beforePublish has do happen just before what is published next arrives in a queue.
func (a *archipelago) beforePublish(queue string, do func()) {
	s := a.lanes[queue]
	s.Broker = &hooked{s.Broker.(adapters.Lane), do}
	a.lanes[queue] = s
}

// blocked publishes a message that has to wait for somebody else.
func (a *archipelago) blocked(s stem.Store, m stem.Message) {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), 50*time.Millisecond)
	defer cancel()
	if out, err := s.Broker.Publish(ctx, m); err == nil {
		a.Errorf("publishing meanwhile gave %+v", out)
	}
}

// forgotten is an archipelago with the entry of a chosen id that nothing is remembered of.
func forgotten(t *testing.T) (*archipelago, stem.Store) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("r", "first", ""))
	a.publish(s, a.in("q", "a", ""))
	a.end(s, a.claim(s, "q")...)
	a.now = a.now.Add(30 * 24 * time.Hour)
	return a, s
}

func TestTwoPublishersOfAForgottenIDToTwoQueuesDoNotBothHaveIt(t *testing.T) {
	a, s := forgotten(t)
	a.beforePublish("q", func() { a.blocked(a.as(&process{}), a.in("r", "a", "")) })
	if p := a.publish(a.as(&process{}), a.in("q", "a", "")); p.State != stem.Accepted {
		t.Errorf("publishing gave %+v", p)
	}
	if p := a.publish(s, a.in("r", "a", "")); p.State != stem.Duplicate || p.ID != "a" {
		t.Errorf("publishing elsewhere gave %+v", p)
	}
}

func TestAnIDThatIsJustBeingPublishedAgainIsNotForgotten(t *testing.T) {
	a, s := forgotten(t)
	a.beforePublish("q", func() {
		if _, err := s.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if p := a.publish(a.as(&process{}), a.in("q", "a", "")); p.State != stem.Accepted {
		t.Errorf("publishing gave %+v", p)
	}
	if p := a.publish(s, a.in("r", "a", "")); p.State != stem.Duplicate || p.ID != "a" {
		t.Errorf("publishing elsewhere gave %+v", p)
	}
}

// A publisher died with the key of its task taken; the task is published again while another one wants the key.
func TestAKeyThatIsTakenAgainByItsOwnTaskIsNobodyElses(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("q", "first", ""))
	m := a.in("q", "a", "k")
	m.GeneratedID = true
	if _, err := a.as(&process{dieAt: 3}).Broker.Publish(t.Context(), m); err == nil {
		t.Fatal("it lives")
	}
	a.pass()
	a.beforePublish("q", func() { a.blocked(a.as(&process{}), a.in("r", "b", "k")) })
	if p := a.publish(a.as(&process{}), m); p.State != stem.Accepted {
		t.Errorf("publishing again gave %+v", p)
	}
	if p := a.publish(s, a.in("r", "b", "k")); p.State != stem.Duplicate || p.ID != "a" {
		t.Errorf("the key in another task gave %+v", p)
	}
	a.end(s, a.claim(s, "q")...)
	if p := a.publish(s, a.in("r", "b", "k")); p.State != stem.Accepted {
		t.Errorf("after the end the key gave %+v", p)
	}
}

func TestALetterIsNotReplayedWhileItsIDIsBeingPublishedElsewhere(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("r", "first", ""))
	a.publish(s, a.in("q", "a", ""))
	if err := a.settle(s, stem.Settlement{Receipt: a.claim(s, "q")[0].Receipt, Kind: stem.Dead}); err != nil {
		t.Fatal(err)
	}
	a.now = a.now.Add(2 * 24 * time.Hour)
	a.beforePublish("r", func() {
		if out, err := s.Broker.(stem.Inspector).Replay(t.Context(), stem.Replay{}); err != nil || len(out) != 1 || out[0].Err == nil {
			t.Errorf("replaying meanwhile gave %+v, %v", out, err)
		}
	})
	if p := a.publish(a.as(&process{}), a.in("r", "a", "")); p.State != stem.Accepted {
		t.Errorf("publishing gave %+v", p)
	}
	if ds := a.claim(s, "q"); len(ds) > 0 {
		t.Errorf("there is also %v", ds)
	}
}

func TestALaneThatCanNotBeReachedCostsNoOtherItsKeys(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	a.publish(s, a.in("q", "a", ""))
	a.publish(s, a.in("r", "b", "k"))
	var leases []stem.Lease
	for _, d := range a.claim(s, "q", "r") {
		leases = append(leases, stem.Lease{Receipt: d.Receipt, For: 5 * time.Hour})
	}
	gone := &process{dead: true}
	half := adapters.Spread(adapters.Spreading{
		Lane: func(name string) stem.Store {
			l := a.lanes[name]
			if name == "q" {
				l.Broker = dyingLane{dyingBroker{gone, l.Broker}, l.Broker.(adapters.Lane)}
			}
			return stem.Store{Broker: l.Broker, Results: l.Results}
		},
		Directory: stem.Store{Records: a.directory.Records}, Results: a.rest, Records: a.rest,
		Options: stem.NewStoreOptions(func(o *stem.StoreOptions) { o.Now = func() time.Time { return a.now } }),
	})
	if _, err := half.Broker.Extend(t.Context(), leases...); err == nil {
		t.Error("all was extended")
	}
	a.now = a.now.Add(4 * time.Hour)
	if p := a.publish(s, a.in("x", "c", "k")); p.State != stem.Duplicate || p.ID != "b" {
		t.Errorf("the key gave %+v", p)
	}
}

// disturbed are records that somebody else changes just before the next key is written.
type disturbed struct {
	stem.Records
	before func()
}

func (d *disturbed) Save(ctx context.Context, w ...stem.RecordWrite) ([]int64, error) {
	if do := d.before; do != nil && w[0].Record.Kind == "key" {
		d.before = nil
		do()
	}
	return d.Records.Save(ctx, w...)
}

// A publisher confirms the key of its task while somebody claims it already.
func TestAKeyIsProlongedThoughItsPublisherConfirmsItMeanwhile(t *testing.T) {
	a := newArchipelago(t)
	m := a.in("q", "a", "k")
	m.Unique.For = time.Second
	s := a.as(&process{})
	a.publish(s, m)
	records, ref := a.directory.Records, stem.RecordRef{Kind: "key", Part: "k", ID: "k"}
	a.directory.Records = &disturbed{records, func() {
		found, err := records.Load(t.Context(), ref)
		if err == nil {
			_, err = records.Save(t.Context(), stem.RecordWrite{Record: *found[0], Op: stem.ReplaceRecord, IfVersion: found[0].Version, TTL: m.Unique.For})
		}
		if err != nil {
			t.Error(err)
		}
	}}
	if ds := a.claim(a.as(&process{}), "q"); len(ds) != 1 {
		t.Errorf("claimed %v", ds)
	}
	a.now = a.now.Add(stem.DefaultLease / 2)
	if p := a.publish(s, a.in("r", "b", "k")); p.State != stem.Duplicate || p.ID != "a" {
		t.Errorf("the key in another task gave %+v", p)
	}
}
