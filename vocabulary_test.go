package stem_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/stemd/stem"
	"pgregory.net/rapid"
)

func ptr[T any](v T) *T { return &v }

func fullHeader() *stem.Header {
	at := time.Date(2026, 11, 24, 12, 0, 0, 123000, time.UTC)
	return &stem.Header{
		ID: "id", Name: "name", Namespace: "ns", EnqueuedAt: at, NotBefore: at.Add(1), ExpiresAt: at.Add(time.Hour), Encoder: "json",
		ParentID: "p", ParentAttempt: 2, RootID: "r", Headers: map[string]string{"a": "b"}, Meta: map[string]json.RawMessage{"k": json.RawMessage(`{"x":1}`)},
		Producer: "me@here", Canvas: stem.Canvas{GroupID: "g", ChainID: "c", ChainIndex: 1, ChordID: "h", InputIDs: []string{"1", "2"}},
		Shadow: "s", ReplyTo: "rt",
		Options: stem.Options{
			Queue: ptr("q"), Priority: ptr(0), MaxRetries: ptr(0), SoftLimit: ptr(time.Second), HardLimit: ptr(2 * time.Second), AcksLate: ptr(false),
			Lease: ptr(time.Minute), IgnoreResult: ptr(false), HeartbeatTimeout: ptr(time.Second), Unique: ptr(true), UniqueFor: ptr(time.Hour), UniqueKey: ptr("uk"), RateLimit: ptr("1/s"),
			GroupRateLimit: ptr("2/s"), GroupRateKey: ptr("gk"), GroupRateKeyHeader: ptr("tenant"), GroupRateLimiterFailureMode: ptr("failOpen"),
			Serializer: ptr("json"), Compression: ptr("gzip"), Exchange: ptr("e"), RoutingKey: ptr("rk"), PublishConnection: ptr("pc"),
			RetryPolicy: &stem.RetryPolicy{Backoff: true, BackoffMax: time.Minute, NoJitter: true, DefaultDelay: time.Second, MaxRetries: ptr(4), AutoRetryFor: []string{"A"}, DontAutoRetryFor: []string{"B"}},
			Link:        []stem.Envelope{{Header: []byte("h"), Body: []byte("b"), Signature: []byte("s"), KeyID: "k"}},
			LinkError:   []stem.Envelope{{Header: []byte("h2")}},
		},
	}
}

func TestEveryFieldOfAHeaderSurvivesTheWire(t *testing.T) {
	h := fullHeader()
	h.NotBefore = h.NotBefore.Truncate(time.Microsecond)
	b, err := stem.EncodeHeader(h)
	if err != nil {
		t.Fatal(err)
	}
	got, err := stem.DecodeHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, got); diff != "" {
		t.Error(diff)
	}
	again, err := stem.EncodeHeader(got)
	if err != nil || string(again) != string(b) {
		t.Error("the same header must give the same bytes: they are signed")
	}
}

func TestAHeaderHasNothingOfTheOneBefore(t *testing.T) {
	for range 10 {
		if _, err := stem.EncodeHeader(fullHeader()); err != nil {
			t.Fatal(err)
		}
		b, err := stem.EncodeHeader(&stem.Header{ID: "id"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := stem.DecodeHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&stem.Header{ID: "id"}, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestUnsetOptionsAreTakenFromTheBaseAndSetOnesNever(t *testing.T) {
	base := fullHeader().Options
	if diff := cmp.Diff(base, (stem.Options{}).Over(base)); diff != "" {
		t.Errorf("nothing set: %s", diff)
	}
	mine := stem.Options{Priority: ptr(9), AcksLate: ptr(true)}
	got := mine.Over(base)
	if *got.Priority != 9 || !*got.AcksLate || *got.Queue != "q" {
		t.Errorf("got %+v", got)
	}
}

func TestStateAndStatusSurviveAStore(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	state := stem.State{
		Attempt: 3, Crashes: 1, Failures: map[stem.Class]int{stem.ClassOOM: 1}, Parked: at, Home: "q", Evidence: "e", FirstStarted: at,
		Override: &stem.Override{MaxRetries: ptr(2), SoftLimit: ptr(time.Second), HardLimit: ptr(time.Minute), RetryPolicy: &stem.RetryPolicy{DefaultDelay: time.Second}},
	}
	b, err := stem.EncodeState(state)
	if err != nil {
		t.Fatal(err)
	}
	got := stem.State{Epoch: 7, Redeliveries: 2} // the store's own fields stay
	if err := stem.DecodeState(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state, got, cmpopts.IgnoreFields(stem.State{}, "Epoch", "Redeliveries")); diff != "" || got.Epoch != 7 || got.Redeliveries != 2 {
		t.Errorf("%s epoch %d redeliveries %d", diff, got.Epoch, got.Redeliveries)
	}
	for i := range reflect.TypeFor[stem.State]().NumField() {
		var one stem.State
		reflect.ValueOf(&one).Elem().Field(i).Set(reflect.ValueOf(state).Field(i))
		if b, err := stem.EncodeState(one); err != nil || (b == nil) != reflect.ValueOf(one).IsZero() {
			t.Errorf("%+v takes %d bytes, %v", one, len(b), err)
		}
	}
	if b, err := stem.EncodeState(stem.State{Epoch: 7}); b != nil || err != nil {
		t.Errorf("a fresh state takes %d bytes, want none", len(b))
	}
	status := stem.Status{
		ID: "id", Name: "n", Queue: "q", State: stem.Failed, Attempt: 1, Priority: 2, Result: []byte("1"), Encoder: "json", Worker: "w", ParentID: "p", RootID: "r",
		Error: &stem.TaskError{Class: stem.ClassPanic, Type: "t", Message: "m", Stack: "s", Permanent: true, ExitCode: ptr(3), Signal: "SIGSEGV"},
		Meta:  map[string]json.RawMessage{"k": json.RawMessage("1")}, EnqueuedAt: at, StartedAt: at, FinishedAt: at, DueAt: at,
	}
	b, err = stem.EncodeStatus(&status)
	if err != nil {
		t.Fatal(err)
	}
	back, err := stem.DecodeStatus(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&status, back); diff != "" {
		t.Error(diff)
	}
}

func TestChildIdsAreDerivedAndNewIdsAreOrdered(t *testing.T) {
	a, again, b := stem.ChildID("parent", "#1"), stem.ChildID("parent", "#1"), stem.ChildID("parent", "#2")
	if a != again || a == b || a == stem.ChildID("parent#", "1") {
		t.Errorf("%s %s %s: the same parts must give the same id, and only those", a, again, b)
	}
	if id, err := uuid.Parse(a); err != nil || id.Version() != 8 {
		t.Errorf("%s: version %d, %v", a, id.Version(), err)
	}
	if x, y := stem.NewID(), stem.NewID(); x >= y {
		t.Errorf("%s then %s: ids rise", x, y)
	}
}

func TestEpochsRiseAlsoWhenTheClockGoesBack(t *testing.T) {
	now := time.Now()
	e := stem.NextEpoch(0, now)
	if next := stem.NextEpoch(e, now.Add(-time.Hour)); next <= e {
		t.Errorf("%d after %d", next, e)
	}
}

func TestADelayIsWithinTheQuarterBelowItsCappedValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := stem.RetryPolicy{
			Backoff:      true,
			DefaultDelay: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "base")),
			BackoffMax:   time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "max")),
		}
		attempt := rapid.IntRange(0, 200).Draw(t, "attempt")
		exact := p
		exact.NoJitter = true
		full, got := exact.Delay(attempt), p.Delay(attempt)
		if full < 0 || got > full || got < full-full/4-time.Millisecond {
			t.Fatalf("attempt %d: %s, without jitter %s", attempt, got, full)
		}
		if p.BackoffMax > 0 && full > p.BackoffMax {
			t.Fatalf("%s is over the cap %s", full, p.BackoffMax)
		}
		if attempt > 0 && exact.Delay(attempt-1) > full {
			t.Fatalf("the delay falls from attempt %d to %d", attempt-1, attempt)
		}
	})
}

func TestDelaysOfThePolicies(t *testing.T) {
	for name, c := range map[string]struct {
		policy  stem.RetryPolicy
		attempt int
		want    time.Duration
	}{
		"constant, no jitter though it is on": {stem.RetryPolicy{DefaultDelay: 3 * time.Second}, 5, 3 * time.Second},
		"nothing set retries at once":         {stem.RetryPolicy{}, 0, 0},
		"doubles":                             {stem.RetryPolicy{Backoff: true, NoJitter: true, DefaultDelay: time.Second}, 3, 8 * time.Second},
		"backoff without a base is from 1 s":  {stem.RetryPolicy{Backoff: true, NoJitter: true}, 2, 4 * time.Second},
		"capped":                              {stem.RetryPolicy{Backoff: true, NoJitter: true, DefaultDelay: time.Second, BackoffMax: 5 * time.Second}, 9, 5 * time.Second},
	} {
		if got := c.policy.Delay(c.attempt); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRetryFiltersLookAtTheForbiddenFirst(t *testing.T) {
	p := stem.RetryPolicy{AutoRetryFor: []string{"A", "B"}, DontAutoRetryFor: []string{"B"}}
	for name, want := range map[string]bool{"A": true, "B": false, "C": false} {
		if p.Retries(name) != want {
			t.Errorf("%s: got %t", name, !want)
		}
	}
	if !(stem.RetryPolicy{}).Retries("anything") {
		t.Error("without filters every error is retried")
	}
}

func FuzzDecodeHeader(f *testing.F) {
	b, err := stem.EncodeHeader(fullHeader())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := stem.DecodeHeader(b)
		if err != nil {
			return
		}
		if _, err := stem.EncodeHeader(h); err != nil && len(h.Meta) == 0 {
			t.Errorf("decoded but not encodable: %v", err)
		}
	})
}
