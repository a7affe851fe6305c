package worker

import (
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// decided is a decision about attempt 0 of a task with 2 retries, one second apart, whose handler returned an error.
func decided(change func(*decision)) stem.Settlement {
	d := decision{
		delivery:  stem.Delivery{Message: stem.Message{ID: "a", Name: "t", Queue: "q"}, Receipt: stem.Receipt{ID: "a", Epoch: 7}},
		header:    &stem.Header{ID: "a", Name: "t"},
		effective: effective{maxRetries: 2, retry: stem.RetryPolicy{DefaultDelay: time.Second}, acksLate: true},
		outcome: plugin.Outcome{
			Kind: plugin.Failure, Error: &stem.TaskError{Class: stem.ClassError, Type: "Timeout", Message: "no answer"},
			Started: noon.Add(-time.Second), Finished: noon,
		},
		worker: "node", now: noon, ttl: time.Hour, maxResult: 10, oneFile: true, delay: stem.RetryPolicy.Delay,
	}
	change(&d)
	return decide(d)
}

func TestDecide(t *testing.T) {
	class := func(c stem.Class) func(*decision) {
		return func(d *decision) { d.outcome.Error = &stem.TaskError{Class: c, Type: "X", Message: "x"} }
	}
	both := func(fs ...func(*decision)) func(*decision) {
		return func(d *decision) {
			for _, f := range fs {
				f(d)
			}
		}
	}
	success := func(d *decision) {
		d.outcome.Kind, d.outcome.Error, d.outcome.Result = plugin.Success, nil, []byte("1")
	}
	last := func(d *decision) { d.delivery.State.Attempt = 2 }
	early := func(d *decision) { d.early = true }
	notRun := func(d *decision) { d.outcome.Kind = plugin.NotRun }
	revoked := func(d *decision) { d.revoked = &stem.Revocation{TaskID: "a"} }
	asks := func(r plugin.RetryRequest) func(*decision) { return func(d *decision) { d.outcome.Retry = &r } }
	rule := func(c stem.Class, n int) func(*decision) {
		return func(d *decision) { d.effective.on = map[stem.Class]ClassRule{c: {Max: &n}} }
	}
	before := func(c stem.Class, n int) func(*decision) {
		return func(d *decision) { d.delivery.State.Attempt, d.delivery.State.Failures = 1, map[stem.Class]int{c: n} }
	}
	crashes := func(allowed, before int) func(*decision) {
		return func(d *decision) { d.effective.crashes, d.delivery.State.Crashes = allowed, before }
	}
	for _, c := range []struct {
		name   string
		change func(*decision)
		kind   stem.Kind
		state  stem.TaskState // "": no status
		reason string
		after  time.Duration
	}{
		{"a success is done", success, stem.Done, stem.Succeeded, "", 0},
		{"a success counts although the task was revoked meanwhile", both(success, revoked), stem.Done, stem.Succeeded, "", 0},
		{"a success counts although a shutdown was under way", both(success, func(d *decision) { d.stopping = true }), stem.Done, stem.Succeeded, "", 0},
		{"a result that is too large is a permanent failure", both(success, func(d *decision) { d.outcome.Result = make([]byte, 11) }), stem.Dead, stem.Failed, stem.ReasonPermanent, 0},
		{"a result that is too large does not matter when it is ignored", both(success, func(d *decision) {
			d.outcome.Result, d.effective.ignoreResult = make([]byte, 11), true
		}), stem.Done, stem.Succeeded, "", 0},
		{"an error with retries left is retried by the policy", func(*decision) {}, stem.Retry, stem.Retried, "", time.Second},
		{"an error without retries left is dead", last, stem.Dead, stem.Failed, stem.ReasonRetriesExhausted, 0},
		{"a permanent error is dead at once", func(d *decision) { d.outcome.Error.Permanent = true }, stem.Dead, stem.Failed, stem.ReasonPermanent, 0},
		{"a permanent error is dead although a retry was asked for", both(asks(plugin.RetryRequest{}), func(d *decision) { d.outcome.Error.Permanent = true }), stem.Dead, stem.Failed, stem.ReasonPermanent, 0},
		{"an error the filter excludes is dead", func(d *decision) { d.effective.retry.DontAutoRetryFor = []string{"Timeout"} }, stem.Dead, stem.Failed, stem.ReasonPermanent, 0},
		{"an error the filter does not name is dead", func(d *decision) { d.effective.retry.AutoRetryFor = []string{"Other"} }, stem.Dead, stem.Failed, stem.ReasonPermanent, 0},
		{"a retry asked for is not filtered", both(asks(plugin.RetryRequest{}), func(d *decision) { d.effective.retry.AutoRetryFor = []string{"Other"} }), stem.Retry, stem.Retried, "", time.Second},
		{"a retry asked for comes when the handler said", asks(plugin.RetryRequest{After: ptr(time.Minute)}), stem.Retry, stem.Retried, "", time.Minute},
		{"a retry asked for at once comes at once", asks(plugin.RetryRequest{After: ptr(time.Duration(0))}), stem.Retry, stem.Retried, "", 0},
		{"a retry asked for without retries left is dead", both(asks(plugin.RetryRequest{}), last), stem.Dead, stem.Failed, stem.ReasonRetriesExhausted, 0},
		{"a retry asked for may raise the number", both(asks(plugin.RetryRequest{Override: &stem.Override{MaxRetries: ptr(9)}}), last), stem.Retry, stem.Retried, "", time.Second},
		{"a retry asked for may bring its policy", asks(plugin.RetryRequest{Override: &stem.Override{RetryPolicy: &stem.RetryPolicy{DefaultDelay: time.Hour}}}), stem.Retry, stem.Retried, "", time.Hour},
		{"a snooze hides the task", func(d *decision) { d.outcome.Snooze = time.Minute }, stem.Hold, "", "", time.Minute},
		{"a snooze costs nothing although no retries are left", both(last, func(d *decision) { d.outcome.Snooze = time.Minute }), stem.Hold, "", "", time.Minute},
		{"an attempt that did not run goes back", notRun, stem.Release, "", "", 0},
		{"collateral damage goes back", class(stem.ClassCollateral), stem.Release, "", "", 0},
		{"an attempt stopped for a shutdown goes back", func(d *decision) { d.stopping = true }, stem.Release, "", "", 0},
		{"a cancelled attempt is cancelled", class(stem.ClassCancelled), stem.Done, stem.Cancelled, "", 0},
		{"a failure of a revoked task is cancelled, not retried", revoked, stem.Done, stem.Cancelled, "", 0},
		{"a revoked task that did not run is cancelled", both(revoked, notRun), stem.Done, stem.Cancelled, "", 0},
		{"a crash is an attempt", both(class(stem.ClassCrash), last), stem.Dead, stem.Failed, stem.ReasonRetriesExhausted, 0},
		{"a crash is retried while its rule allows", both(class(stem.ClassCrash), rule(stem.ClassCrash, 1)), stem.Retry, stem.Retried, "", time.Second},
		{"a crash beyond its rule is dead", both(class(stem.ClassCrash), rule(stem.ClassCrash, 1), before(stem.ClassCrash, 1)), stem.Dead, stem.Failed, stem.ReasonRetriesExhausted, 0},
		{"failures of another class do not count for a rule", both(class(stem.ClassTimeout), rule(stem.ClassTimeout, 1), before(stem.ClassError, 1)), stem.Retry, stem.Retried, "", time.Second},
		{"a rule allows no more than the retries of the task", both(class(stem.ClassTimeout), rule(stem.ClassTimeout, 9), last), stem.Dead, stem.Failed, stem.ReasonRetriesExhausted, 0},
		{"a rule may have its own delay", both(class(stem.ClassOOM), func(d *decision) {
			d.effective.on = map[stem.Class]ClassRule{stem.ClassOOM: {Delay: ptr(time.Hour)}}
		}), stem.Retry, stem.Retried, "", time.Hour},
		{"a retry asked for comes when the handler said, whatever the rule", both(asks(plugin.RetryRequest{After: ptr(time.Minute)}), func(d *decision) {
			d.effective.on = map[stem.Class]ClassRule{stem.ClassError: {Delay: ptr(time.Hour)}}
		}), stem.Retry, stem.Retried, "", time.Minute},
		{"the last crash that is allowed makes poison of a task with retries left", both(class(stem.ClassCrash), crashes(3, 2)), stem.Dead, stem.Failed, stem.ReasonPoison, 0},
		{"an exit and an OOM kill are crashes too", both(class(stem.ClassOOM), crashes(3, 2)), stem.Dead, stem.Failed, stem.ReasonPoison, 0},
		{"one crash fewer is retried", both(class(stem.ClassExit), crashes(3, 1)), stem.Retry, stem.Retried, "", time.Second},
		{"an error of a task that crashed before is retried", crashes(3, 3), stem.Retry, stem.Retried, "", time.Second},
		{"crashes may be allowed without end", both(class(stem.ClassCrash), crashes(0, 99)), stem.Retry, stem.Retried, "", time.Second},
		{"a crash among others does not count", both(class(stem.ClassCollateral), crashes(1, 0)), stem.Release, "", "", 0},
		{"a rule of another class does not count", both(class(stem.ClassPanic), rule(stem.ClassCrash, 0)), stem.Retry, stem.Retried, "", time.Second},
		{"a rule may forbid retries of timeouts", both(class(stem.ClassTimeout), rule(stem.ClassTimeout, 0)), stem.Dead, stem.Failed, stem.ReasonRetriesExhausted, 0},
		{"a failure after an early acknowledgement is not retried", early, stem.Dead, stem.Failed, stem.ReasonRetriesExhausted, 0},
		{"an early acknowledged attempt that did not run can not go back", both(early, notRun, class(stem.ClassDrain)), stem.Dead, stem.Failed, "drain", 0},
		{"an early acknowledged task can not be snoozed", both(early, func(d *decision) { d.outcome.Snooze = time.Minute }), stem.Dead, stem.Failed, stem.ReasonRetriesExhausted, 0},
		{"a failure without an error is one all the same", func(d *decision) { d.outcome.Error = nil }, stem.Retry, stem.Retried, "", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := decided(c.change)
			if s.Kind != c.kind || s.Reason != c.reason {
				t.Fatalf("kind %d reason %q, want %d %q", s.Kind, s.Reason, c.kind, c.reason)
			}
			if s.Receipt.Epoch != 7 {
				t.Errorf("receipt is %+v", s.Receipt)
			}
			switch {
			case c.state == "":
				if s.Result != nil {
					t.Errorf("writes status %+v", s.Result.Status)
				}
			case s.Result == nil || s.Result.Status.State != c.state || s.Result.TTL != time.Hour:
				t.Errorf("status is %+v, want %s", s.Result, c.state)
			}
			if at := noon.Add(c.after); (s.Kind == stem.Retry || s.Kind == stem.Hold) && !s.At.Equal(at) {
				t.Errorf("due at %v, want %v", s.At, at)
			}
		})
	}
}

func TestARetrySpendsAnAttemptAndKeepsWhatTheNextNeeds(t *testing.T) {
	s := decided(func(d *decision) {
		d.delivery.State = stem.State{Attempt: 1, Override: &stem.Override{MaxRetries: ptr(9), SoftLimit: ptr(time.Second)}}
		d.outcome.Retry = &plugin.RetryRequest{Override: &stem.Override{HardLimit: ptr(time.Minute)}}
	})
	if s.State == nil || s.State.Attempt != 2 || !s.State.FirstStarted.Equal(noon.Add(-time.Second)) {
		t.Fatalf("state is %+v", s.State)
	}
	o := s.State.Override
	if o == nil || o.SoftLimit == nil || o.HardLimit == nil {
		t.Fatalf("limits asked for are lost: %+v", o)
	}
	if o.MaxRetries != nil {
		t.Error("a number of retries asked for by an earlier failure holds for a later one too")
	}
}

func TestTheResultSurvivesAndIsLeftOutWhenIgnored(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		s := decided(func(d *decision) {
			d.outcome = plugin.Outcome{Kind: plugin.Success, Result: []byte(`"x"`), Encoder: "json"}
			d.effective.ignoreResult = ignore
		})
		if got := string(s.Result.Status.Result); (got == "") != ignore {
			t.Errorf("ignored %v: result is %q", ignore, got)
		}
	}
}

func TestATooLargeResultSaysHowLargeAndWhatToDo(t *testing.T) {
	s := decided(func(d *decision) { d.outcome = plugin.Outcome{Kind: plugin.Success, Result: make([]byte, 50)} })
	if m := s.Result.Status.Error.Message; !strings.Contains(m, "50 bytes") || !strings.Contains(m, "limit is 10") {
		t.Error(m)
	}
}

// Whatever happens, the number of attempts is bounded by the retries allowed, only what keeps the message keeps state, and what
// was acknowledged early is never given back.
func TestDecisionsNeverExceedTheRetriesNorGiveBackWhatWasAcknowledged(t *testing.T) {
	classes := []stem.Class{
		stem.ClassError, stem.ClassPanic, stem.ClassTimeout, stem.ClassCrash, stem.ClassExit, stem.ClassOOM, stem.ClassLostLease,
		stem.ClassCancelled, stem.ClassCollateral, stem.ClassDrain, stem.ClassSwap,
	}
	rapid.Check(t, func(t *rapid.T) {
		attempt, maxRetries := rapid.IntRange(0, 5).Draw(t, "attempt"), rapid.IntRange(0, 5).Draw(t, "maxRetries")
		early := rapid.Bool().Draw(t, "early")
		asks := rapid.Bool().Draw(t, "asks")
		s := decided(func(d *decision) {
			d.delivery.State.Attempt, d.effective.maxRetries, d.early = attempt, maxRetries, early
			d.stopping = rapid.Bool().Draw(t, "stopping")
			d.outcome.Kind = rapid.SampledFrom([]plugin.OutcomeKind{plugin.Success, plugin.Failure, plugin.NotRun}).Draw(t, "kind")
			d.outcome.Snooze = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "snooze")
			d.outcome.Error = &stem.TaskError{Class: rapid.SampledFrom(classes).Draw(t, "class"), Permanent: rapid.Bool().Draw(t, "permanent")}
			if asks {
				d.outcome.Retry = &plugin.RetryRequest{}
			}
			if rapid.Bool().Draw(t, "revoked") {
				d.revoked = &stem.Revocation{}
			}
		})
		if early && s.Kind != stem.Done && s.Kind != stem.Dead {
			t.Fatalf("acknowledged early, then kind %d", s.Kind)
		}
		if s.Kind == stem.Retry && (attempt >= maxRetries || s.State.Attempt != attempt+1) {
			t.Fatalf("attempt %d of at most %d retries goes on as %+v", attempt, maxRetries, s.State)
		}
		if s.Kind == stem.Dead && (s.Reason == "" || s.Result.Status.Error == nil) {
			t.Fatal("a dead letter without a reason")
		}
		if (s.Kind == stem.Hold || s.Kind == stem.Release) && s.State != nil && s.State.Attempt != attempt {
			t.Fatal("an attempt was spent on nothing")
		}
	})
}

func TestTheSourcesOfOptionsAreAskedInOrder(t *testing.T) {
	n := func(i int) *int { return &i }
	for _, c := range []struct {
		name string
		ask  *stem.Override
		msg  stem.Options
		cfg  Policy
		spec stem.TaskSpec
		want int
	}{
		{name: "the default", want: 0},
		{name: "the manifest", spec: stem.TaskSpec{Options: stem.Options{MaxRetries: n(1)}}, want: 1},
		{name: "the manifest of another language", spec: stem.TaskSpec{MaxRetries: 1}, want: 1},
		{name: "the pool before the manifest", cfg: Policy{MaxRetries: n(2)}, spec: stem.TaskSpec{Options: stem.Options{MaxRetries: n(1)}}, want: 2},
		{name: "zero is a value", cfg: Policy{MaxRetries: n(0)}, spec: stem.TaskSpec{Options: stem.Options{MaxRetries: n(1)}}, want: 0},
		{name: "the task before the pool", cfg: Policy{MaxRetries: n(2), Tasks: map[string]TaskPolicy{"": {MaxRetries: n(3)}}}, want: 3},
		{name: "the caller before the task", msg: stem.Options{MaxRetries: n(4)}, cfg: Policy{Tasks: map[string]TaskPolicy{"": {MaxRetries: n(3)}}}, want: 4},
		{name: "the caller's policy before the caller's number", msg: stem.Options{MaxRetries: n(4), RetryPolicy: &stem.RetryPolicy{MaxRetries: n(5)}}, want: 5},
		{name: "the handler before the caller", ask: &stem.Override{MaxRetries: n(6)}, msg: stem.Options{RetryPolicy: &stem.RetryPolicy{MaxRetries: n(5)}}, want: 6},
	} {
		if got := resolve(c.ask, c.msg, c.cfg, c.spec).maxRetries; got != c.want {
			t.Errorf("%s: %d retries, want %d", c.name, got, c.want)
		}
	}
}
