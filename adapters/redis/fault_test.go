package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// faults is a store behind a proxy that cuts, and one that looks at the same namespace undisturbed.
type faults struct {
	*testing.T
	proxy       *testserver.Proxy
	store, calm stem.Store
	clock       time.Time
	n           int
	patient     bool // a call need not fail when its connection is cut: it goes on by itself
	repeats     bool // a call asks the same when it is repeated, though its first requests were carried out
}

// newFaults runs beside the other tests of its kind: each has a server of its own, and waits for it most of the time.
func newFaults(t *testing.T) *faults { return newFaultsOf(t, redis.Open) }

func newFaultsOf(t *testing.T, open func(context.Context, string, ...stem.StoreOption) (stem.Store, error)) *faults {
	t.Parallel()
	openWith := func(t *testing.T, url string, opts ...stem.StoreOption) stem.Store {
		store, err := open(t.Context(), url, opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	server := testserver.NewRedis(t)
	f := &faults{T: t, proxy: testserver.NewProxy(t, server.Addr), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	now := func(o *stem.StoreOptions) { o.Now = func() time.Time { return f.clock } }
	// One connection of each kind, so that what is counted is what is done.
	f.store = openWith(t, "redis://"+f.proxy.Addr+"/0?pool=1", now)
	f.calm = openWith(t, server.URL(), now)
	return f
}

// twice runs a test with tasks that are each by itself, and with such that are in pages.
func twice(t *testing.T, test func(*testing.T, *faults)) {
	t.Parallel()
	t.Run("by themselves", func(t *testing.T) { test(t, newFaults(t)) })
	t.Run("in pages", func(t *testing.T) { test(t, newFaultsOf(t, redis.OpenInPages)) })
}

// everywhere has act done again and again, each time with its connection cut at another place: after each byte of its requests, and
// before each byte of its replies. before prepares a task of this id, after looks at what became of it; cut says that the call failed.
// Places between which the server gets no further request whole are tried one after the other with one task.
func (f *faults) everywhere(before func(id string), act func(id string) error, after func(id string, cut bool)) {
	f.Helper()
	f.connect()
	before("warm")
	if err := act("warm"); err != nil { // the server knows the script now, and the pool has its connection
		f.Fatal(err)
	}
	after("warm", false)
	id := f.next()
	before(id)
	f.proxy.Heal()
	if err := act(id); err != nil {
		f.Fatal(err)
	}
	requests, replies := f.proxy.Passed()
	ends := f.proxy.Asked()
	after(id, false)
	if requests < 40 || replies < 1 || len(ends) == 0 {
		f.Fatalf("%d and %d bytes passed: the call does not go through the proxy", requests, replies)
	}
	f.Logf("%d bytes of %d requests, and %d of replies", requests, len(ends), replies)
	id = ""
	for cut := range requests + replies {
		used := id != ""
		if !used {
			id = f.next()
			before(id)
		}
		reached, err := f.cut(cut, requests, act, id)
		if used && !reached { // what was done before a cut leaves less to do
			after(id, err != nil)
			id = f.next()
			before(id)
			reached, err = f.cut(cut, requests, act, id)
		}
		if err == nil && reached && !f.patient {
			f.Fatalf("cut at %d of %d+%d: the call did not fail", cut, requests, replies)
		}
		if next := cut + 1; err != nil && next < requests && !slices.Contains(ends, next) && (next < ends[0] || f.repeats) {
			continue
		}
		after(id, err != nil)
		id = ""
	}
}

// cut has act done with its connection cut at a place, and says whether it came that far.
func (f *faults) cut(place, requests int, act func(id string) error, id string) (reached bool, err error) {
	f.Helper()
	f.proxy.Heal()
	f.connect()
	if place < requests {
		f.proxy.CutRequest(place)
	} else {
		f.proxy.CutReply(place - requests)
	}
	err = act(id)
	reached = f.proxy.Cut()
	f.proxy.Heal()
	return reached, err
}

// connect sees to it that the store has whole connections: that of a caller who is alone, and that of a pipeline.
func (f *faults) connect() {
	f.Helper()
	if _, err := f.store.Results.Load(f.Context(), "nobody"); err != nil {
		f.Fatal(err)
	}
	if _, err := f.store.Broker.(stem.Takeover).ReleaseOwner(f.Context(), "nobody"); err != nil {
		f.Fatal(err)
	}
}

func (f *faults) next() string {
	f.n++
	return fmt.Sprintf("task-%05d", f.n)
}

func (f *faults) publish(store stem.Store, id string) error {
	p, err := store.Broker.Publish(f.Context(), message(f, id))
	if err == nil && p[0].State == stem.Rejected {
		err = p[0].Err
	}
	return err
}

// claim claims the one task there is from the calm store.
func (f *faults) claim(id string) stem.Delivery {
	f.Helper()
	ds, err := f.calm.Broker.Claim(f.Context(), ask(time.Minute))
	if err != nil || len(ds) != 1 || ds[0].ID != id {
		f.Fatalf("claimed %+v, %v, want %s", ds, err, id)
	}
	return ds[0]
}

// held publishes a task and claims it, undisturbed.
func (f *faults) held(id string) stem.Delivery {
	f.Helper()
	if err := f.publish(f.calm, id); err != nil {
		f.Fatal(err)
	}
	return f.claim(id)
}

func (f *faults) settle(store stem.Store, s stem.Settlement) error {
	errs, err := store.Broker.Settle(f.Context(), s)
	if err == nil {
		err = errs[0]
	}
	return err
}

// again repeats a settlement that failed, and may have been done.
func (f *faults) again(s stem.Settlement) {
	f.Helper()
	if err := f.settle(f.store, s); err != nil && !errors.Is(err, stem.ErrLeaseLost) {
		f.Fatal(err)
	}
}

// nothing is left to claim, now or later.
func (f *faults) nothing() {
	f.Helper()
	f.clock = f.clock.Add(time.Hour)
	ds, err := f.calm.Broker.Claim(f.Context(), ask(time.Minute))
	if err != nil || len(ds) != 0 {
		f.Fatalf("claimed %+v, %v, want nothing", ds, err)
	}
}

func (f *faults) ended(id string) {
	f.Helper()
	s, err := f.calm.Results.Load(f.Context(), id)
	if err != nil || s[0] == nil || s[0].State != stem.Succeeded {
		f.Fatalf("%s is %+v, %v", id, s[0], err)
	}
}

func TestAPublishCutAnywhereIsThereOnceWhenItIsRepeated(t *testing.T) {
	twice(t, func(t *testing.T, f *faults) {
		f.everywhere(func(string) {}, func(id string) error { return f.publish(f.store, id) }, func(id string, cut bool) {
			if cut {
				if err := f.publish(f.store, id); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.settle(f.calm, done(f.claim(id))); err != nil {
				t.Fatal(err)
			}
			f.nothing()
		})
	})
}

// What goes into an inbox is there once too, if who repeats it says that he does, and whether or not it has been sorted meanwhile.
func TestASingleTaskWhosePublishIsCutAnywhereIsThereOnceWhenItIsRepeated(t *testing.T) {
	f := newFaults(t)
	msgs := map[string]stem.Message{}
	publish := func(id string) error {
		_, err := f.store.Broker.Publish(t.Context(), msgs[id])
		return err
	}
	f.everywhere(func(id string) {
		msgs[id] = single(t)
	}, publish, func(id string, cut bool) {
		m := msgs[id]
		if cut && f.n%2 == 0 {
			if q := counts(t, f.calm); q.Ready > 1 {
				t.Fatalf("there are %+v", q)
			}
			if ds := claim(t, f.calm, 1); len(ds) > 0 {
				settle(t, f.calm, func(int) stem.Settlement { return stem.Settlement{Kind: stem.Release} }, ds...)
			}
		}
		if cut {
			m.State.Epoch = 1
			if _, err := f.store.Broker.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.settle(f.calm, done(f.claim(m.ID))); err != nil {
			t.Fatal(err)
		}
		f.nothing()
	})
}

func TestAClaimCutAnywhereIsDeliveredToSomebodyElseAndOnlyOnce(t *testing.T) {
	twice(t, func(t *testing.T, f *faults) {
		f.everywhere(func(id string) {
			if err := f.publish(f.calm, id); err != nil {
				t.Fatal(err)
			}
		}, func(id string) error {
			ds, err := f.store.Broker.Claim(t.Context(), ask(time.Minute))
			if err != nil {
				return err
			}
			if len(ds) != 1 || ds[0].ID != id {
				t.Fatalf("claimed %+v, want %s", ds, id)
			}
			return f.settle(f.calm, done(ds[0]))
		}, func(id string, cut bool) {
			if cut {
				f.clock = f.clock.Add(2 * time.Minute) // whoever the server gave it to is gone
				d := f.claim(id)
				if d.State.Redeliveries > 1 || d.State.Attempt != 0 {
					t.Fatalf("state %+v", d.State)
				}
				if err := f.settle(f.calm, done(d)); err != nil {
					t.Fatal(err)
				}
			}
			f.ended(id)
			f.nothing()
		})
	})
}

func TestAPlainEndCutAnywhereIsDoneOnce(t *testing.T) {
	twice(t, func(t *testing.T, f *faults) {
		var claimed stem.Delivery
		f.everywhere(func(id string) { claimed = f.held(id) }, func(string) error { return f.settle(f.store, done(claimed)) }, func(id string, cut bool) {
			if cut {
				f.again(done(claimed))
			}
			f.ended(id)
			f.nothing()
		})
	})
}

func TestASettlementCutAnywhereIsDoneOnceWithAllThatBelongsToIt(t *testing.T) {
	twice(t, func(t *testing.T, f *faults) {
		var claimed stem.Delivery
		settlement := func(id string) stem.Settlement {
			s := done(claimed)
			s.Then = []stem.Message{message(t, "next-of-"+id)}
			s.Save = []stem.RecordWrite{{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: id}, Body: []byte("b")}, Op: stem.CreateRecord}}
			return s
		}
		f.everywhere(func(id string) { claimed = f.held(id) }, func(id string) error { return f.settle(f.store, settlement(id)) }, func(id string, cut bool) {
			if cut {
				f.again(settlement(id))
			}
			f.ended(id)
			if r, err := f.calm.Records.Load(t.Context(), stem.RecordRef{Kind: "k", ID: id}); err != nil || r[0] == nil {
				t.Fatalf("record %+v, %v", r, err)
			}
			if err := f.settle(f.calm, done(f.claim("next-of-"+id))); err != nil {
				t.Fatal(err)
			}
			f.nothing()
		})
	})
}

func TestAnExtensionCutAnywhereKeepsTheClaimValid(t *testing.T) {
	twice(t, func(t *testing.T, f *faults) {
		var claimed stem.Delivery
		f.everywhere(func(id string) { claimed = f.held(id) }, func(string) error {
			lost, err := f.store.Broker.Extend(t.Context(), stem.Lease{Receipt: claimed.Receipt, For: time.Minute})
			if len(lost) > 0 {
				t.Fatalf("lost %+v", lost)
			}
			return err
		}, func(id string, _ bool) {
			if err := f.settle(f.calm, done(claimed)); err != nil {
				t.Fatal(err)
			}
			f.ended(id)
		})
	})
}

func TestAClaimThatWaitsComesBackWhenItsConnectionsBreak(t *testing.T) {
	server := testserver.NewRedis(t)
	proxy := testserver.NewProxy(t, server.Addr)
	store, calm := open(t, "redis://"+proxy.Addr), open(t, server.URL())
	type answer struct {
		ds  []stem.Delivery
		err error
	}
	const rounds = 20
	for round := range rounds {
		answers := make(chan answer, 1)
		go func() {
			c := ask(time.Minute)
			c.Wait = patience
			ds, err := store.Broker.Claim(t.Context(), c)
			for err != nil && t.Context().Err() == nil { // as a daemon does
				ds, err = store.Broker.Claim(t.Context(), c)
			}
			answers <- answer{ds, err}
		}()
		until(t, "somebody waits", func() bool {
			clients, err := server.Client.ClientList(t.Context()).Result()
			return err == nil && strings.Contains(clients, "cmd=bzpopmin")
		})
		proxy.Drop()
		id := fmt.Sprintf("task-%d", round)
		if _, err := calm.Broker.Publish(t.Context(), message(t, id)); err != nil {
			t.Fatal(err)
		}
		got := <-answers
		if got.err != nil || len(got.ds) != 1 || got.ds[0].ID != id {
			t.Fatalf("claimed %+v, %v", got.ds, got.err)
		}
	}
}
