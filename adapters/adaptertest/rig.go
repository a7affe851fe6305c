package adaptertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
)

const (
	queue  = "q"
	task   = "test.task"
	owner1 = "node-1/boot-1"
	owner2 = "node-2/boot-2"
	// patience is how long a case waits for something that must happen; it bounds a failure, not a success.
	patience = 20 * time.Second
)

// rig is one case's store with its clock, and short ways to say what every case says.
type rig struct {
	*testing.T
	ctx   context.Context
	store stem.Store
	caps  Capabilities
	clock *clock // nil: real time

	lease  time.Duration // a lease that a case lets expire
	span   time.Duration // a while, for delays and lives
	dedupe time.Duration // the store's memory of chosen ids
	dead   time.Duration // its retention of dead letters
}

// clock is the store's clock in the hand of a case.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newRig(t *testing.T, open Open, caps Capabilities, c testCase) *rig {
	t.Helper()
	r := &rig{T: t, caps: caps}
	opts := c.opts
	if caps.Clock && !c.live {
		r.clock = &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
		r.lease, r.span, r.dedupe, r.dead = stem.DefaultLease, time.Hour, stem.DefaultDedupe, stem.DefaultDeadTTL
	} else {
		r.lease, r.span, r.dedupe, r.dead = 300*time.Millisecond, 300*time.Millisecond, 500*time.Millisecond, 500*time.Millisecond
	}
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	r.store = open(t, r.options(opts)...)
	t.Cleanup(func() { r.closeStore(r.store) })
	return r
}

func (r *rig) options(opts []stem.StoreOption) []stem.StoreOption {
	return append([]stem.StoreOption{func(o *stem.StoreOptions) {
		if r.clock != nil {
			o.Now = r.clock.Now
		} else {
			o.Dedupe, o.DeadLetters = r.dedupe, r.dead
		}
	}}, opts...)
}

// sibling is another handle on the same storage.
func (r *rig) sibling(opts ...stem.StoreOption) stem.Store {
	r.Helper()
	s := r.caps.Sibling(r.T, r.store, r.options(opts)...)
	r.Cleanup(func() { r.closeStore(s) })
	return s
}

func (r *rig) closeStore(s stem.Store) {
	if err := s.Close(); err != nil {
		r.Errorf("close: %v", err)
	}
}

// now is the store's time, as near as a case can know it.
func (r *rig) now() time.Time {
	if r.clock != nil {
		return r.clock.Now()
	}
	return time.Now()
}

// pass lets d go by on the store's clock, and a little more on a real one.
func (r *rig) pass(d time.Duration) {
	r.Helper()
	if r.clock != nil {
		r.clock.move(d)
		return
	}
	select {
	case <-time.After(d + 50*time.Millisecond):
	case <-r.ctx.Done():
		r.Fatal("the case took too long")
	}
}

// msg is a message with a chosen id.
func (r *rig) msg(id string, mods ...func(*stem.Message)) stem.Message {
	r.Helper()
	m := stem.Message{ID: id, Name: task, Queue: queue}
	for _, mod := range mods {
		mod(&m)
	}
	header, err := stem.EncodeHeader(&stem.Header{ID: id, Name: m.Name, RootID: "root-of-" + id, ParentID: "parent-of-" + id})
	r.noError(err)
	m.Envelope = stem.Envelope{Header: header, Body: []byte("body of " + id), Signature: []byte{0, 1, 255}, KeyID: "key-1"}
	return m
}

func in(queue string) func(*stem.Message)        { return func(m *stem.Message) { m.Queue = queue } }
func named(name string) func(*stem.Message)      { return func(m *stem.Message) { m.Name = name } }
func priority(p int) func(*stem.Message)         { return func(m *stem.Message) { m.Priority = p } }
func leased(d time.Duration) func(*stem.Message) { return func(m *stem.Message) { m.Lease = d } }
func generated(m *stem.Message)                  { m.GeneratedID = true }
func (r *rig) delayed(d time.Duration) func(*stem.Message) {
	at := r.now().Add(d)
	return func(m *stem.Message) { m.State.NotBefore = at }
}

// put publishes messages that must be accepted.
func (r *rig) put(msgs ...stem.Message) {
	r.Helper()
	for i, p := range r.publish(msgs...) {
		if p.State != stem.Accepted || p.ID != msgs[i].ID || p.Err != nil {
			r.Fatalf("publishing %s gave %+v, want accepted", msgs[i].ID, p)
		}
	}
}

// add publishes messages of these ids.
func (r *rig) add(ids ...string) {
	r.Helper()
	msgs := make([]stem.Message, len(ids))
	for i, id := range ids {
		msgs[i] = r.msg(id)
	}
	r.put(msgs...)
}

func (r *rig) publish(msgs ...stem.Message) []stem.Published {
	r.Helper()
	out, err := r.store.Broker.Publish(r.ctx, msgs...)
	r.noError(err)
	if len(out) != len(msgs) {
		r.Fatalf("publishing %d messages gave %d answers", len(msgs), len(out))
	}
	return out
}

// ask is a claim of owner1 that does not wait.
func (r *rig) ask(n int, queues ...string) stem.Claim {
	if len(queues) == 0 {
		queues = []string{queue}
	}
	c := stem.Claim{Max: n, Lease: r.lease, Owner: owner1}
	if r.clock == nil {
		c.Lease = time.Minute // only cases about leases let them expire
	}
	for _, q := range queues {
		c.Queues = append(c.Queues, stem.QueueLimit{Queue: q})
	}
	return c
}

func (r *rig) claimWith(c stem.Claim) []stem.Delivery {
	r.Helper()
	ds, err := r.store.Broker.Claim(r.ctx, c)
	r.noError(err)
	return ds
}

// claim is up to n tasks for owner1.
func (r *rig) claim(n int, queues ...string) []stem.Delivery {
	r.Helper()
	return r.claimWith(r.ask(n, queues...))
}

// take claims exactly one task with the lease that a case lets expire.
func (r *rig) take(owner string) stem.Delivery {
	r.Helper()
	c := r.ask(1)
	c.Owner, c.Lease = owner, r.lease
	ds := r.claimWith(c)
	if len(ds) != 1 {
		r.Fatalf("claimed %v, want one task", ids(ds))
	}
	return ds[0]
}

// one claims exactly one task with a lease that lasts.
func (r *rig) one(queues ...string) stem.Delivery {
	r.Helper()
	ds := r.claim(1, queues...)
	if len(ds) != 1 {
		r.Fatalf("claimed %v, want one task", ids(ds))
	}
	return ds[0]
}

func ids(ds []stem.Delivery) []string {
	out := []string{}
	for _, d := range ds {
		out = append(out, d.ID)
	}
	return out
}

// claims says which tasks a claim of up to 1000 gives, in order.
func (r *rig) claims(want ...string) []stem.Delivery {
	r.Helper()
	ds := r.claim(1000)
	r.inOrder(ids(ds), want...)
	return ds
}

func (r *rig) inOrder(got []string, want ...string) {
	r.Helper()
	if !slices.Equal(got, want) {
		r.Fatalf("got %v, want %v", got, want)
	}
}

// settle settles one claim without error.
func (r *rig) settle(s stem.Settlement) {
	r.Helper()
	if err := r.trySettle(s); err != nil {
		r.Fatalf("settling %s: %v", s.Receipt.ID, err)
	}
}

func (r *rig) trySettle(s stem.Settlement) error {
	r.Helper()
	errs, err := r.store.Broker.Settle(r.ctx, s)
	r.noError(err)
	if len(errs) != 1 {
		r.Fatalf("one settlement gave %d answers", len(errs))
	}
	return errs[0]
}

// status is what is known of a task, or nil.
func (r *rig) status(id string) *stem.Status {
	r.Helper()
	out, err := r.store.Results.Load(r.ctx, id)
	r.noError(err)
	if len(out) != 1 {
		r.Fatalf("loading one status gave %d", len(out))
	}
	return out[0]
}

// state says in which state a task must be.
func (r *rig) state(id string, want stem.TaskState) *stem.Status {
	r.Helper()
	s := r.status(id)
	if s == nil || s.State != want {
		r.Fatalf("status of %s is %+v, want %s", id, s, want)
	}
	return s
}

// result is a status to settle a delivery with.
func result(d stem.Delivery, state stem.TaskState) *stem.StatusWrite {
	return &stem.StatusWrite{Status: stem.Status{ID: d.ID, Name: d.Name, Queue: d.Queue, State: state, Attempt: d.State.Attempt}}
}

func (r *rig) noError(err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("unexpected error: %v", err)
	}
}

func (r *rig) isError(err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Fatalf("error is %v, want %v", err, want)
	}
}

// near says that two times of the store are the same, as near as a case can know.
func (r *rig) near(what string, got, want time.Time) {
	r.Helper()
	tolerance := time.Millisecond
	if r.clock == nil {
		tolerance = patience
	}
	if d := got.Sub(want).Abs(); d > tolerance {
		r.Fatalf("%s is %v, want %v", what, got, want)
	}
}
