package redis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// offering is a store with a clock of its own, a task that is offered there, and what somebody does with it.
type offering struct {
	t      *testing.T
	server *testserver.Redis
	now    time.Time
	id     string
}

func newOffering(t *testing.T) *offering {
	t.Helper()
	o := &offering{t: t, server: testserver.NewRedis(t), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	m, err := stem.BuildMessage("stem", stem.NewHeader("test.task", stem.Queue("q")), []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	o.id = m.ID
	if _, err := o.broker().Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return o
}

// broker is that of another process.
func (o *offering) broker() *broker {
	o.t.Helper()
	store, err := Open(o.t.Context(), o.server.URL(), func(s *stem.StoreOptions) { s.Now = func() time.Time { return o.now } })
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = store.Close() })
	return store.Broker.(*broker)
}

func claimOf(owner string) stem.Claim {
	return stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: owner, Lease: time.Minute}
}

// pop takes what is offered off the server.
func (o *offering) pop() string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 10*time.Second)
	defer cancel()
	got, err := o.server.Client.BZPopMin(ctx, 0, "{stem}:q:q:o").Result()
	if err != nil {
		o.t.Fatal("nothing is offered: ", err)
	}
	return got.Member.(string)
}

// take takes the task as one who waits does; it is not booked before free.
func (o *offering) take(b *broker) (d stem.Delivery, free func()) {
	o.t.Helper()
	free = b.taken.hold()
	o.t.Cleanup(free) // where the test ends before
	out, err := b.take(o.pop(), b.claimCall(claimOf("taker/boot")))
	if err != nil || len(out) != 1 || out[0].ID != o.id || string(out[0].Envelope.Body) != "body" {
		o.t.Fatalf("took %+v, %v", out, err)
	}
	return out[0], free
}

// hold has whoever books wait until free, as behind somebody who books at a slow server.
func (t *taken) hold() (free func()) {
	held := &booking{over: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.booking = held
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.booking = nil
		close(held.over)
	})
}

func (o *offering) claim(b *broker) []stem.Delivery {
	o.t.Helper()
	out, err := b.Claim(o.t.Context(), claimOf("claimer/boot"))
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

// settle ends the task and says how that went.
func (o *offering) settle(b *broker, d stem.Delivery) error {
	o.t.Helper()
	status := stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Succeeded}
	errs, err := b.Settle(o.t.Context(), stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: status}})
	if err != nil {
		return err
	}
	return errs[0]
}

func (o *offering) load(b *broker) stem.Status {
	o.t.Helper()
	one, err := (&results{b.db, []*db{b.db}}).Load(o.t.Context(), o.id)
	if err != nil || one[0] == nil {
		o.t.Fatalf("%v, %v", one, err)
	}
	return *one[0]
}

// nothing demands that no key is left but of the result.
func (o *offering) nothing() {
	o.t.Helper()
	keys, err := o.server.Client.Keys(o.t.Context(), "*").Result()
	if err != nil {
		o.t.Fatal(err)
	}
	for _, key := range keys {
		if strings.HasPrefix(key, "{stem}:q:") && !strings.HasSuffix(key, ":b") || key == "{stem}:inboxes" || key == "{stem}:bodies" || key == "{stem}:tasks" {
			o.t.Errorf("%s is left", key)
		}
	}
}

func TestWhatWasTakenRunsWhateverIsDoneBeforeItIsBooked(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(o *offering, other *broker, d stem.Delivery){
		"nothing": func(*offering, *broker, stem.Delivery) {},
		"a claim": func(o *offering, other *broker, _ stem.Delivery) {
			if got := o.claim(other); len(got) > 0 {
				o.t.Errorf("claimed by another too: %+v", got)
			}
		},
		"a look": func(o *offering, other *broker, _ stem.Delivery) {
			if s := o.load(other); s.State != stem.Running {
				o.t.Errorf("it is %s", s.State)
			}
		},
		"a purge": func(o *offering, other *broker, _ stem.Delivery) {
			if n, err := other.Purge(o.t.Context(), "q"); n != 0 || err != nil {
				o.t.Errorf("purged %d, %v", n, err)
			}
		},
		"a second task, and a claim": func(o *offering, other *broker, _ stem.Delivery) {
			m, err := stem.BuildMessage("stem", stem.NewHeader("test.task", stem.Queue("q")), nil)
			if err != nil {
				o.t.Fatal(err)
			}
			if _, err := other.Publish(o.t.Context(), m); err != nil {
				o.t.Fatal(err)
			}
			if got := o.claim(other); len(got) != 1 || got[0].ID != m.ID || o.settle(other, got[0]) != nil {
				o.t.Errorf("claimed %+v", got)
			}
		},
		"the end of somebody's lease": func(o *offering, other *broker, _ stem.Delivery) {
			o.load(other)
			o.now = o.now.Add(stem.DefaultLease + time.Second)
			o.load(other)
		},
		"a status of its own": func(o *offering, other *broker, d stem.Delivery) {
			s := stem.Status{ID: d.ID, Name: d.Name, Queue: d.Queue, Epoch: d.Receipt.Epoch, State: stem.Running}
			if err := (&results{other.db, []*db{other.db}}).Save(o.t.Context(), stem.StatusWrite{Status: s}); err != nil {
				o.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffering(t)
			taker, other := o.broker(), o.broker()
			d, free := o.take(taker)
			meanwhile(o, other, d)
			free()
			if lost, err := taker.Extend(t.Context(), stem.Lease{Receipt: d.Receipt, For: time.Minute}); len(lost) > 0 || err != nil {
				t.Errorf("lost %v, %v", lost, err)
			}
			if s := o.load(other); s.State != stem.Running || s.Worker != "taker" {
				t.Errorf("it is %s by %q", s.State, s.Worker)
			}
			if err := o.settle(taker, d); err != nil {
				t.Error(err)
			}
			if s := o.load(other); s.State != stem.Succeeded {
				t.Errorf("it is %s", s.State)
			}
			o.nothing()
		})
	}
}

func TestWhatIsTakenByOneWhoDiesComesBack(t *testing.T) {
	t.Parallel()
	o := newOffering(t)
	_ = o.pop()
	other := o.broker()
	if got := o.claim(other); len(got) > 0 {
		t.Fatalf("claimed %+v while somebody may have it", got)
	}
	if s := o.load(other); s.State != stem.Running || s.Worker != "?" {
		t.Errorf("it is %s by %q", s.State, s.Worker)
	}
	o.now = o.now.Add(stem.DefaultLease + time.Second)
	got := o.claim(other)
	if len(got) != 1 || got[0].ID != o.id || got[0].State.Redeliveries != 1 {
		t.Fatalf("claimed %+v", got)
	}
	if err := o.settle(other, got[0]); err != nil {
		t.Error(err)
	}
	o.nothing()
}

func TestWhoIsTooLateToBookHasLostTheTask(t *testing.T) {
	t.Parallel()
	o := newOffering(t)
	taker, other := o.broker(), o.broker()
	d, free := o.take(taker)
	_ = o.claim(other)
	o.now = o.now.Add(stem.DefaultLease + time.Second)
	got := o.claim(other)
	if len(got) != 1 || got[0].Receipt.Epoch <= d.Receipt.Epoch {
		t.Fatalf("claimed %+v, taken before as %d", got, d.Receipt.Epoch)
	}
	free()
	if lost, err := taker.Extend(t.Context(), stem.Lease{Receipt: d.Receipt, For: time.Minute}); len(lost) != 1 || err != nil {
		t.Errorf("lost %v, %v", lost, err)
	}
	if err := o.settle(taker, d); !errors.Is(err, stem.ErrLeaseLost) {
		t.Errorf("settled by who was too late: %v", err)
	}
	if err := o.settle(other, got[0]); err != nil {
		t.Error(err)
	}
	o.nothing()
}

// What can not be booked is settled by nobody, and nothing of it is lost.
func TestABookingThatFailsIsDoneLater(t *testing.T) {
	t.Parallel()
	o := newOffering(t)
	taker := o.broker()
	d, free := o.take(taker)
	for _, rule := range []string{"-evalsha", "-eval"} {
		if err := o.server.Client.Do(t.Context(), "ACL", "SETUSER", "default", rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	free()
	if err := o.settle(taker, d); err == nil || errors.Is(err, stem.ErrLeaseLost) {
		t.Errorf("settled without being booked: %v", err)
	}
	if err := o.server.Client.Do(t.Context(), "ACL", "SETUSER", "default", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	if err := o.settle(taker, d); err != nil {
		t.Error(err)
	}
	if took, done := taker.taken.took.Load(), taker.taken.done.Load(); took != done {
		t.Errorf("%d were taken and %d booked", took, done)
	}
	o.nothing()
}

// A claim that nobody booked has an epoch, too, by which it is known to be older than a later one.
func TestEpochsRiseOverOneThatWasNotBookedThoughTheClockGoesBack(t *testing.T) {
	t.Parallel()
	o := newOffering(t)
	taker, other := o.broker(), o.broker()
	d, free := o.take(taker)
	o.now = o.now.Add(-10 * time.Minute)
	o.load(other) // which sorts it
	o.now = o.now.Add(stem.DefaultLease + time.Second)
	got := o.claim(other)
	if len(got) != 1 || got[0].Receipt.Epoch <= d.Receipt.Epoch {
		t.Fatalf("claimed %+v, taken before as %d", got, d.Receipt.Epoch)
	}
	free()
	if err := o.settle(taker, d); !errors.Is(err, stem.ErrLeaseLost) {
		t.Errorf("settled by the older claim: %v", err)
	}
	if err := o.settle(other, got[0]); err != nil {
		t.Error(err)
	}
	o.nothing()
}
