package adaptertest_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/adapters/memory"
)

// brokenStore names, in the environment, the promise that the store under test does not keep.
const brokenStore = "STEM_TEST_BROKEN"

// broken is a store with one method in between. Its zero value passes everything on.
type broken struct {
	stem.Broker
	stem.Inspector
	stem.Maintainer
	stem.Takeover
	stem.Limiter
	stem.Results
	stem.Records

	published func([]stem.Message) []stem.Message
	asked     func(stem.Claim) stem.Claim
	delivered func([]stem.Delivery) []stem.Delivery
	extended  func([]stem.Lease) []stem.Lease
	settling  func(*broken, []stem.Settlement) []stem.Settlement
	answered  func([]error) []error
	written   func([]stem.StatusWrite) []stem.StatusWrite
	tallied   func([]stem.Tallied) []stem.Tallied
	saved     func([]stem.RecordWrite) []stem.RecordWrite
	versions  func([]int64) []int64
	replayed  func(stem.Replay) stem.Replay
	purged    func(int) int
	deleted   func(stem.Maintained) stem.Maintained
	limited   func([]stem.RateAsk) []stem.RateAsk
	granted   func([]stem.RateAnswer) []stem.RateAnswer
}

// pass gives v to fn when there is one.
func pass[T any](fn func(T) T, v T) T {
	if fn == nil {
		return v
	}
	return fn(v)
}

type brokenBroker struct{ *broken }

func (b brokenBroker) Publish(ctx context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	return b.Broker.Publish(ctx, pass(b.published, slices.Clone(msgs))...)
}

func (b brokenBroker) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	ds, err := b.Broker.Claim(ctx, pass(b.asked, c))
	return pass(b.delivered, ds), err
}

func (b brokenBroker) Extend(ctx context.Context, leases ...stem.Lease) ([]stem.Receipt, error) {
	return b.Broker.Extend(ctx, pass(b.extended, slices.Clone(leases))...)
}

func (b brokenBroker) Settle(ctx context.Context, s ...stem.Settlement) ([]error, error) {
	if b.settling != nil {
		s = b.settling(b.broken, slices.Clone(s))
	}
	errs, err := b.Broker.Settle(ctx, s...)
	return pass(b.answered, errs), err
}

func (b brokenBroker) Replay(ctx context.Context, r stem.Replay) ([]stem.Replayed, error) {
	return b.Inspector.Replay(ctx, pass(b.replayed, r))
}

func (b brokenBroker) Purge(ctx context.Context, queue string) (int, error) {
	n, err := b.Inspector.Purge(ctx, queue)
	return pass(b.purged, n), err
}

func (b brokenBroker) Maintain(ctx context.Context) (stem.Maintained, error) {
	m, err := b.Maintainer.Maintain(ctx)
	return pass(b.deleted, m), err
}

func (b brokenBroker) Take(ctx context.Context, asks ...stem.RateAsk) ([]stem.RateAnswer, error) {
	out, err := b.Limiter.Take(ctx, pass(b.limited, slices.Clone(asks))...)
	return pass(b.granted, out), err
}

type brokenResults struct {
	stem.Results
	b *broken
}

func (r brokenResults) Save(ctx context.Context, writes ...stem.StatusWrite) error {
	return r.Results.Save(ctx, pass(r.b.written, slices.Clone(writes))...)
}

func (r brokenResults) Tally(ctx context.Context, tallies ...stem.Tally) ([]stem.Tallied, error) {
	out, err := r.Results.Tally(ctx, tallies...)
	return pass(r.b.tallied, out), err
}

type brokenRecords struct {
	stem.Records
	b *broken
}

func (r brokenRecords) Save(ctx context.Context, writes ...stem.RecordWrite) ([]int64, error) {
	versions, err := r.Records.Save(ctx, pass(r.b.saved, slices.Clone(writes))...)
	return pass(r.b.versions, versions), err
}

// each changes every member of a batch.
func each[T any](change func(*T)) func([]T) []T {
	return func(items []T) []T {
		for i := range items {
			change(&items[i])
		}
		return items
	}
}

func settling(change func(*broken, *stem.Settlement)) func(*broken, []stem.Settlement) []stem.Settlement {
	return func(b *broken, items []stem.Settlement) []stem.Settlement {
		for i := range items {
			change(b, &items[i])
		}
		return items
	}
}

var (
	// overwriting creates what is there already.
	overwriting = each(func(w *stem.RecordWrite) {
		if w.Op == stem.CreateRecord {
			w.Op = stem.PutRecord
		}
	})
	// everlasting writes records that do not expire.
	everlasting = each(func(w *stem.RecordWrite) { w.TTL, w.Record.Expires = 0, time.Time{} })
	// undeleted writes what was to be deleted.
	undeleted = each(func(w *stem.RecordWrite) {
		if w.Op == stem.DeleteRecord {
			w.Op = stem.PutRecord
		}
	})
)

// promises are broken one at a time. Each is found by a case of the group, whose name has these words.
var promises = []struct {
	name, group, rule string
	store             broken
}{
	{"priority is ignored", "order", "higher priority goes first", broken{published: each(func(m *stem.Message) { m.Priority = 0 })}},
	{"a batch arrives backwards", "order", "order is that of arrival", broken{published: func(ms []stem.Message) []stem.Message { slices.Reverse(ms); return ms }}},
	{"a claim comes in any order", "order", "", broken{delivered: func(ds []stem.Delivery) []stem.Delivery { slices.Reverse(ds); return ds }}},
	{"queues have no limit of their own", "order", "limit bounds what is taken", broken{asked: func(c stem.Claim) stem.Claim {
		c.Queues = slices.Clone(c.Queues)
		for i := range c.Queues {
			c.Queues[i].Limit = 0
		}
		return c
	}}},
	{"delays are forgotten", "delay", "hidden until it is due", broken{published: each(func(m *stem.Message) { m.State.NotBefore = m.State.NotBefore.AddDate(-1, 0, 0) })}},
	{"a message's own lease is ignored", "lease", "own lease wins", broken{published: each(func(m *stem.Message) { m.Lease = 0 })}},
	{"Extend gives more than asked for", "lease", "", broken{extended: each(func(l *stem.Lease) { l.For *= 1000 })}},
	{"a chosen id is forgotten at its end", "dedupe", "remembered after its end", broken{published: each(func(m *stem.Message) { m.GeneratedID = true })}},
	{"an owner's earlier claim still settles", "epoch", "", broken{delivered: each(func(d *stem.Delivery) { d.Receipt.Epoch = 7; d.State.Epoch = 7 })}},
	{"a stale settlement is said to be done", "epoch", "stale", broken{answered: each(func(err *error) { *err = nil })}},
	{"Release goes behind the others", "settle", "old place", broken{settling: settling(func(_ *broken, s *stem.Settlement) {
		if s.Kind == stem.Release {
			s.Kind, s.Queue = stem.Move, s.Receipt.Queue
		}
	})}},
	{"Hold is visible at once", "settle", "Hold hides", broken{settling: settling(func(_ *broken, s *stem.Settlement) {
		if s.Kind == stem.Hold {
			s.Kind = stem.Release
		}
	})}},
	{"Retry forgets the new state", "settle", "with the new state", broken{settling: settling(func(_ *broken, s *stem.Settlement) { s.State = nil })}},
	{"Park stays where it is", "settle", "parked lane", broken{settling: settling(func(_ *broken, s *stem.Settlement) {
		if s.Kind == stem.Park {
			s.Kind = stem.Release
		}
	})}},
	{"a dead task is only removed", "dead", "", broken{settling: settling(func(_ *broken, s *stem.Settlement) {
		if s.Kind == stem.Dead {
			s.Kind = stem.Done
		}
	})}},
	{"reasons of dead letters are lost", "dead", "reason", broken{settling: settling(func(_ *broken, s *stem.Settlement) { s.Reason = "" })}},
	{"a dry run replays", "dead", "dry run", broken{replayed: func(r stem.Replay) stem.Replay { r.DryRun = false; return r }}},
	{"a delayed replay is visible at once", "dead", "delayed replay", broken{replayed: func(r stem.Replay) stem.Replay { r.Delay = 0; return r }}},
	{"AckEarly does nothing", "ackearly", "", broken{settling: settling(func(_ *broken, s *stem.Settlement) {
		if s.Kind == stem.AckEarly {
			s.Kind = stem.Release
		}
	})}},
	{"the result is written without its settlement", "save", "", broken{settling: settling(func(b *broken, s *stem.Settlement) {
		if s.Result != nil {
			w := *s.Result
			w.Status.ID, w.Status.Epoch = s.Receipt.ID, s.Receipt.Epoch
			_ = b.Results.Save(context.Background(), w)
		}
	})}},
	{"the result is left out", "results", "settlement", broken{settling: settling(func(_ *broken, s *stem.Settlement) { s.Result = nil })}},
	{"records are left out", "save", "written with it", broken{settling: settling(func(_ *broken, s *stem.Settlement) { s.Save = nil })}},
	{"follow-ups are left out", "save", "follow-ups are published", broken{settling: settling(func(_ *broken, s *stem.Settlement) { s.Then = nil })}},
	{"ends are not counted", "groups", "last member", broken{settling: settling(func(_ *broken, s *stem.Settlement) { s.Tally = nil })}},
	{"ends are counted before the settlement is accepted", "groups", "counts nothing", broken{settling: settling(func(b *broken, s *stem.Settlement) {
		if s.Tally != nil {
			t := *s.Tally
			t.TaskID, t.Epoch = s.Receipt.ID, s.Receipt.Epoch
			_, _ = b.Results.Tally(context.Background(), t)
		}
	})}},
	{"a firing group gives its callback once", "groups", "until it has fired", broken{tallied: func() func([]stem.Tallied) []stem.Tallied {
		given := false
		return each(func(t *stem.Tallied) {
			if given {
				t.Callback = nil
			}
			given = given || t.Callback != nil
		})
	}()}},
	{"a late status wins", "results", "late", broken{written: each(func(w *stem.StatusWrite) { w.Status.Epoch = 1 << 60 })}},
	{"statuses live for ever", "results", "TTL", broken{written: each(func(w *stem.StatusWrite) { w.TTL = 1 << 60 })}},
	{"Replace does not look at the version", "records", "Replace conflicts", broken{saved: each(func(w *stem.RecordWrite) {
		if w.Op == stem.ReplaceRecord {
			w.Op = stem.PutRecord
		}
	})}},
	{"Create overwrites", "records", "Create conflicts", broken{saved: overwriting}},
	{"records do not expire", "records", "expired record", broken{saved: everlasting}},
	{"unique keys hold nobody back", "unique", "", broken{published: each(func(m *stem.Message) { m.Unique = stem.Reservation{} })}},
	{"a key is kept when its task dies", "unique", "Dead gives", broken{settling: settling(func(_ *broken, s *stem.Settlement) {
		if s.Kind == stem.Dead {
			s.Kind, s.At = stem.Hold, time.Now().AddDate(100, 0, 0)
		}
	})}},
	{"a key is held for ever", "unique", "lapses", broken{published: each(func(m *stem.Message) { m.Unique.For = 1 << 60 })}},
	{"a replay takes all there are", "dead", "only as many as asked", broken{replayed: func(r stem.Replay) stem.Replay { r.Limit = 1000; return r }}},
	{"claims do not wait", "wait", "wakes a waiting claim", broken{asked: func(c stem.Claim) stem.Claim { c.Wait = 0; return c }}},
	{"versions are used again", "records", "versions rise", broken{versions: each(func(v *int64) { *v = 7 })}},
	{"records are not deleted", "records", "Delete deletes", broken{saved: undeleted}},
	{"due times are forgotten", "records", "by due time", broken{saved: each(func(w *stem.RecordWrite) { w.Record.Due = time.Time{} })}},
	{"tags are forgotten", "records", "part and tag", broken{saved: each(func(w *stem.RecordWrite) { w.Record.Tags = nil })}},
	{"a lock does not end", "locks", "after its time", broken{saved: everlasting}},
	{"a lock has two holders", "locks", "", broken{saved: overwriting}},
	{"heartbeats do not end", "documents", "heartbeats", broken{saved: everlasting}},
	{"a broadcast reaches only the first", "broadcast", "every present subscriber", broken{published: func(ms []stem.Message) []stem.Message { return ms[:1] }}},
	{"a run is created over another", "workflow", "known id", broken{saved: overwriting}},
	{"the claim of a run does not end", "workflow", "taken over", broken{saved: everlasting}},
	{"a run that sleeps is never due", "workflow", "sleeping run", broken{saved: each(func(w *stem.RecordWrite) { w.Record.Due = time.Time{} })}},
	{"the claim of a run can not be given up", "workflow", "until it is given up", broken{saved: undeleted}},
	{"a purge says nothing of what it deleted", "inspect", "says how many", broken{purged: func(int) int { return 0 }}},
	{"all keys are one", "limiter", "independent", broken{limited: each(func(a *stem.RateAsk) { a.Key = "k" })}},
	{"a burst is forgotten", "limiter", "burst at once", broken{limited: each(func(a *stem.RateAsk) { a.Rate.Burst = 1 })}},
	{"more is given than the rate", "limiter", "no more than", broken{limited: each(func(a *stem.RateAsk) { a.Rate.Per /= 2 })}},
	{"all who wait are told the same time", "limiter", "different times", broken{granted: func(as []stem.RateAnswer) []stem.RateAnswer {
		for i := range as {
			if i > 0 && !as[i].Granted && !as[i-1].Granted {
				as[i].Until = as[i-1].Until
			}
		}
		return as
	}}},
	{"everything is granted", "limiter", "", broken{granted: each(func(a *stem.RateAnswer) { *a = stem.RateAnswer{Granted: true} })}},
	{"deletions are not counted", "maintain", "counts each", broken{deleted: func(m stem.Maintained) stem.Maintained { return stem.Maintained{More: m.More} }}},
}

func openBroken(t *testing.T, which *broken, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), "memory://", opts...)
	if err != nil {
		t.Fatal(err)
	}
	b := *which
	b.Broker, b.Results, b.Records = store.Broker, store.Results, store.Records
	b.Inspector, b.Maintainer, b.Takeover = store.Broker.(stem.Inspector), store.Broker.(stem.Maintainer), store.Broker.(stem.Takeover)
	b.Limiter = store.Broker.(stem.Limiter)
	store.Broker, store.Results, store.Records = brokenBroker{&b}, brokenResults{store.Results, &b}, brokenRecords{store.Records, &b}
	return store
}

// TestBroken is the suite on the store that the environment names. It is run by TestABrokenPromiseIsFoundByTheCaseThatNamesIt.
func TestBroken(t *testing.T) {
	which := broken{} // on an unbroken store the wrapper passes everything
	for _, p := range promises {
		if p.name == os.Getenv(brokenStore) {
			which = p.store
		}
	}
	adaptertest.Run(t, func(t *testing.T, opts ...stem.StoreOption) stem.Store { return openBroken(t, &which, opts...) },
		adaptertest.Capabilities{Clock: true, Bus: true, Inspector: true, Maintainer: true, Takeover: true, Limiter: true})
}

func TestABrokenPromiseIsFoundByTheCaseThatNamesIt(t *testing.T) {
	failure := regexp.MustCompile(`--- FAIL: TestBroken/([a-z]+)/(\S+)`)
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run", "^TestBroken$/^"+p.group+"$", "-test.timeout", "60s")
			cmd.Env = append(os.Environ(), brokenStore+"="+p.name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the group %s passes", p.group)
			}
			for _, m := range failure.FindAllStringSubmatch(string(out), -1) {
				if strings.Contains(strings.ReplaceAll(m[2], "_", " "), p.rule) {
					return
				}
			}
			t.Errorf("no case with %q failed:\n%.2000s", p.rule, out)
		})
	}
}
