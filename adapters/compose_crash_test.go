package adapters_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	"github.com/stemd/stem/adapters/sqlite"
)

// farm is three stores, a clock, and the work that processes do on them.
type farm struct {
	*testing.T
	now                      time.Time
	broker, results, records stem.Store
	runs                     int
}

func newFarm(t *testing.T) *farm { return farmOf(t, open) }

// farmOf is a farm whose stores are opened by open; the task "a" is the only member of a group with a callback.
func farmOf(t *testing.T, open func(*testing.T, ...stem.StoreOption) stem.Store) *farm {
	f := &farm{T: t, now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	clock := func(o *stem.StoreOptions) { o.Now = func() time.Time { return f.now } }
	f.broker, f.results, f.records = open(t, clock), open(t, clock), open(t, clock)
	callback := f.message("callback")
	callback.Queue = "children"
	if err := f.results.Results.OpenGroups(t.Context(), stem.Group{ID: "g", Members: []string{"a"}, Callback: &callback}); err != nil {
		t.Fatal(err)
	}
	return f
}

// file opens a store in a file of its own.
func file(t *testing.T, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "stem.db"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (f *farm) through(p *process) stem.Store {
	return adapters.Compose(p.over(f.broker), p.over(f.results), p.over(f.records))
}

func (f *farm) message(id string) stem.Message {
	header, err := stem.EncodeHeader(&stem.Header{ID: id, Name: "count"})
	if err != nil {
		f.Fatal(err)
	}
	return stem.Message{ID: id, Name: "count", Queue: "q", Envelope: stem.Envelope{Header: header}}
}

var counter = stem.RecordRef{Kind: "counter", ID: "c"}

// work claims a task and settles it with a result, a follow-up, and one added to a counter.
func (f *farm) work(s stem.Store) (worked bool, err error) {
	ds, err := s.Broker.Claim(f.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot"})
	if err != nil || len(ds) == 0 {
		return false, err
	}
	f.runs++
	present, err := f.records.Records.Load(f.Context(), counter)
	if err != nil {
		return false, err
	}
	save := stem.RecordWrite{Record: stem.Record{RecordRef: counter, Body: []byte("1")}, Op: stem.CreateRecord}
	if present[0] != nil {
		n, _ := strconv.Atoi(string(present[0].Body))
		save.Record.Body = strconv.AppendInt(nil, int64(n+1), 10)
		save.Op, save.IfVersion = stem.ReplaceRecord, present[0].Version
	}
	errs, err := s.Broker.Settle(f.Context(), f.settlement(ds[0], save))
	if err == nil {
		err = errs[0]
	}
	return true, err
}

func (f *farm) settlement(d stem.Delivery, save stem.RecordWrite) stem.Settlement {
	then := f.message("child")
	then.Queue = "children"
	return stem.Settlement{
		Receipt: d.Receipt, Kind: stem.Done, Save: []stem.RecordWrite{save}, Then: []stem.Message{then},
		Tally:  &stem.Tally{Group: "g", State: stem.Succeeded},
		Result: &stem.StatusWrite{Status: stem.Status{ID: d.ID, Name: d.Name, Queue: d.Queue, State: stem.Succeeded}},
	}
}

func (f *farm) count() int {
	f.Helper()
	recs, err := f.records.Records.Load(f.Context(), counter)
	if err != nil {
		f.Fatal(err)
	}
	if recs[0] == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(recs[0].Body))
	return n
}

func (f *farm) state(s stem.Store, id string) stem.TaskState {
	f.Helper()
	out, err := s.Results.Load(f.Context(), id)
	if err != nil {
		f.Fatal(err)
	}
	if out[0] == nil {
		return ""
	}
	return out[0].State
}

// A task is worked on by a process that dies at its n-th call to a store, before or after the call was carried out, for every
// n there is; then by one that lives. Whatever was done twice, nothing is lost.
func TestACrashBetweenAnyTwoStepsOfASettlementRepeatsWorkAndLosesNothing(t *testing.T) {
	for name, open := range map[string]func(*testing.T, ...stem.StoreOption) stem.Store{"memory": open, "SQLite files": file} {
		for _, perform := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the last call carried out: %t", name, perform), func(t *testing.T) {
				for dieAt := 1; dieAndRepeat(t, farmOf(t, open), dieAt, perform); dieAt++ {
				}
			})
		}
	}
}

// dieAndRepeat says whether the process died at all.
func dieAndRepeat(t *testing.T, f *farm, dieAt int, perform bool) bool {
	if _, err := f.through(&process{}).Broker.Publish(t.Context(), f.message("a")); err != nil {
		t.Fatal(err)
	}
	p := &process{dieAt: dieAt, perform: perform}
	_, err := f.work(f.through(p))
	if !p.dead {
		if err != nil || dieAt < 10 {
			t.Fatalf("a process that lives made %d calls: %v", p.calls, err)
		}
		return false
	}
	f.now = f.now.Add(stem.DefaultLease + time.Second)
	f.recover(dieAt)
	return true
}

// recover has a process that lives finish what one that died at a call began, and looks what became of it.
func (f *farm) recover(dieAt int) {
	t := f.T
	t.Helper()
	alive := f.through(&process{})
	for worked := true; worked; {
		var err error
		if worked, err = f.work(alive); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.state(alive, "a"); got != stem.Succeeded {
		t.Errorf("dead at call %d: the task is %q", dieAt, got)
	}
	if n := f.count(); n < 1 || n > f.runs {
		t.Errorf("dead at call %d: counted %d in %d runs", dieAt, n, f.runs)
	}
	ds, err := alive.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "children"}}, Max: 10, Owner: "node/boot"})
	var got []string
	for _, d := range ds {
		got = append(got, d.ID)
	}
	if slices.Sort(got); err != nil || !slices.Equal(got, []string{"callback", "child"}) {
		t.Errorf("dead at call %d: the callback and the follow-up came as %v, %v", dieAt, got, err)
	}
	if groups, err := alive.Results.LoadGroups(t.Context(), "g"); err != nil || groups[0] == nil || groups[0].State != stem.GroupFired {
		t.Errorf("dead at call %d: the group is %+v, %v", dieAt, groups, err)
	}
}

func TestACrashWhilePublishingLosesNothingWhenThePublishIsRepeated(t *testing.T) {
	for _, perform := range []bool{false, true} {
		for dieAt := 1; ; dieAt++ {
			f := newFarm(t)
			p := &process{dieAt: dieAt, perform: perform}
			_, _ = f.through(p).Broker.Publish(t.Context(), f.message("a"))
			if !p.dead {
				break
			}
			alive := f.through(&process{})
			out, err := alive.Broker.Publish(t.Context(), f.message("a"))
			if err != nil || out[0].State == stem.Rejected {
				t.Fatalf("publishing again gave %+v, %v", out, err)
			}
			if got := f.state(alive, "a"); got != stem.Queued {
				t.Errorf("dead at call %d, carried out: %t: the task is %q", dieAt, perform, got)
			}
			if worked, err := f.work(alive); !worked || err != nil {
				t.Errorf("dead at call %d: worked %t, %v", dieAt, worked, err)
			}
			if worked, _ := f.work(alive); worked {
				t.Errorf("dead at call %d: the task was there twice", dieAt)
			}
		}
	}
}

// The n-th call fails, as when a store was away for a moment, and the same process settles again.
func TestASettlementThatFailedHalfwayIsRepeatedWithoutDoingAnythingTwice(t *testing.T) {
	for failAt := 1; ; failAt++ {
		f := newFarm(t)
		p := &process{}
		s := f.through(p)
		if _, err := s.Broker.Publish(t.Context(), f.message("a")); err != nil {
			t.Fatal(err)
		}
		ds, err := s.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot"})
		if err != nil || len(ds) != 1 {
			t.Fatalf("claimed %v, %v", ds, err)
		}
		settlement := f.settlement(ds[0], stem.RecordWrite{Record: stem.Record{RecordRef: counter, Body: []byte("1")}, Op: stem.CreateRecord})
		p.calls, p.dieAt = 0, failAt
		_, err = s.Broker.Settle(t.Context(), settlement)
		if !p.dead {
			break
		}
		p.dead = false
		if errs, again := s.Broker.Settle(t.Context(), settlement); err != nil && (again != nil || errs[0] != nil) {
			t.Errorf("failed at call %d: repeating gave %v, %v", failAt, errs, again)
		}
		if got := f.state(s, "a"); got != stem.Succeeded {
			t.Errorf("failed at call %d: the task is %q", failAt, got)
		}
		if n := f.count(); n != 1 {
			t.Errorf("failed at call %d: counted %d", failAt, n)
		}
	}
}

func TestAClaimThatCanNotBeRecordedIsGivenBackForLater(t *testing.T) {
	f := newFarm(t)
	broken := f.results
	p := &process{}
	broken.Results = dyingResults{f.results.Results, p}
	s := adapters.Compose(f.broker, broken, f.records)
	if _, err := s.Broker.Publish(t.Context(), f.message("a")); err != nil {
		t.Fatal(err)
	}
	p.dead = true
	if worked, err := f.work(s); worked || !errors.Is(err, errDead) {
		t.Errorf("worked %t, %v", worked, err)
	}
	p.dead = false
	if worked, err := f.work(s); worked || err != nil {
		t.Errorf("the task is in the way of others: worked %t, %v", worked, err)
	}
	f.now = f.now.Add(5 * time.Second)
	if worked, err := f.work(s); !worked || err != nil {
		t.Errorf("the task was not given back: worked %t, %v", worked, err)
	}
}

func TestATaskOfABrokerWhoseResultsWereAwayStillHasAStatus(t *testing.T) {
	f := newFarm(t)
	broken := f.results
	p := &process{dieAt: 2}
	broken.Results = dyingResults{f.results.Results, p}
	s := adapters.Compose(f.broker, broken, f.records)
	out, err := s.Broker.Publish(t.Context(), f.message("a"))
	if err != nil || out[0].State != stem.Accepted {
		t.Fatalf("published %+v, %v", out, err)
	}
	if !p.dead {
		t.Fatal("the queued status was not written at the second call")
	}
	p.dead = false
	if got := f.state(s, "a"); got != stem.Queued {
		t.Errorf("the task is %q", got)
	}
}

func TestAPastLifeKnownOnlyToTheResultsDoesNotFenceOffTheNext(t *testing.T) {
	f := newFarm(t)
	future := stem.Epoch(f.now.Add(1000 * time.Hour).UnixMicro())
	for _, id := range []string{"a", "child"} {
		past := stem.Status{ID: id, State: stem.Failed, Epoch: future}
		if err := f.results.Results.Save(t.Context(), stem.StatusWrite{Status: past}); err != nil {
			t.Fatal(err)
		}
	}
	s := adapters.Compose(f.broker, f.results, f.records)
	if _, err := s.Broker.Publish(t.Context(), f.message("a")); err != nil {
		t.Fatal(err)
	}
	if got := f.state(s, "a"); got != stem.Queued {
		t.Errorf("the published task is %q", got)
	}
	if worked, err := f.work(s); !worked || err != nil {
		t.Fatal(worked, err)
	}
	if got := f.state(s, "a"); got != stem.Succeeded {
		t.Errorf("the finished task is %q", got)
	}
	if got := f.state(s, "child"); got != stem.Queued {
		t.Errorf("the follow-up is %q", got)
	}
}

// lacking has no optional capability.
type lacking struct{ stem.Broker }

func TestAComposedBrokerAnswersErrUnsupportedForWhatItsBrokerLacks(t *testing.T) {
	f := newFarm(t)
	poor := f.broker
	poor.Broker = lacking{f.broker.Broker}
	s := adapters.Compose(poor, f.results, f.records)
	_, err := s.Broker.(stem.Inspector).Queues(t.Context())
	if !errors.Is(err, stem.ErrUnsupported) {
		t.Errorf("Queues gave %v", err)
	}
	if _, err = s.Broker.(stem.Takeover).ReleaseOwner(t.Context(), "x"); !errors.Is(err, stem.ErrUnsupported) {
		t.Errorf("ReleaseOwner gave %v", err)
	}
	if _, err = s.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
		t.Errorf("Maintain gave %v", err)
	}
}
