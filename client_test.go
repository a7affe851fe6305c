package stem_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
)

type args struct {
	Path string `json:"path"`
}

var resize = stem.NewTask[args, int]("media.resize", stem.Queue("media"), stem.MaxRetries(5), stem.Priority(3))

func open(t *testing.T, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), "memory://", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func claim(t *testing.T, store stem.Store, queue string) stem.Delivery {
	t.Helper()
	ds, err := store.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: 1, Owner: "test/1"})
	if err != nil || len(ds) != 1 {
		t.Fatalf("claim from %s: %d deliveries, %v", queue, len(ds), err)
	}
	return ds[0]
}

func settle(t *testing.T, store stem.Store, s stem.Settlement) {
	t.Helper()
	errs, err := store.Broker.Settle(t.Context(), s)
	if err = errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
}

func TestWhatTheCallSaysWinsOverTheDefinitionFieldByField(t *testing.T) {
	store := open(t)
	_, err := resize.Enqueue(t.Context(), stem.NewClient(store), args{"a.png"}, stem.Priority(0), stem.HeaderValue("tenant", "x"), stem.Meta("n", 7))
	if err != nil {
		t.Fatal(err)
	}
	d := claim(t, store, "media")
	h, err := stem.DecodeHeader(d.Envelope.Header)
	if err != nil {
		t.Fatal(err)
	}
	if *h.Options.Priority != 0 || *h.Options.MaxRetries != 5 || d.Priority != 0 {
		t.Errorf("priority %v, retries %v: a priority set back to 0 must hold, retries come from the definition", *h.Options.Priority, *h.Options.MaxRetries)
	}
	if string(d.Envelope.Body) != `{"path":"a.png"}` || h.Headers["tenant"] != "x" || string(h.Meta["n"]) != "7" {
		t.Errorf("body %s, headers %v, meta %v", d.Envelope.Body, h.Headers, h.Meta)
	}
	if h.ID != d.ID || h.Name != "media.resize" || h.Namespace != "stem" || !strings.Contains(h.Producer, "@") {
		t.Errorf("header %+v", h)
	}
}

func TestAnOptionThatNothingActsOnIsRefusedByName(t *testing.T) {
	client := stem.NewClient(open(t))
	for name, option := range map[string]stem.Option{
		"unique": stem.Unique(), "uniqueFor": stem.UniqueFor(time.Minute), "uniqueKey": stem.UniqueKey("k"),
		"rateLimit": stem.RateLimit("1/s"), "groupRateLimit": stem.GroupRateLimit("1/s"), "serializer": stem.Serializer("cbor"),
		"compression": stem.Compression("gzip"), "exchange": stem.Exchange("x"), "routingKey": stem.RoutingKey("x"),
		"publishConnection": stem.PublishConnection("x"), "link": stem.Link(stem.Envelope{}), "linkError": stem.LinkError(stem.Envelope{}),
	} {
		_, err := client.Enqueue(t.Context(), "t", nil, option)
		var refused *stem.OptionError
		if !errors.As(err, &refused) || refused.Option != name {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	client := stem.NewClient(open(t))
	for name, option := range map[string]stem.Option{
		"priority":          stem.Priority(10),
		"maxRetries":        stem.MaxRetries(-1),
		"hardTimeLimit":     stem.HardLimit(0),
		"visibilityTimeout": stem.VisibilityTimeout(-time.Second),
		"queue":             stem.Queue("parked:x"),
		"taskId":            stem.TaskID(" x"),
		"meta":              stem.Meta("f", func() {}),
		"retryPolicy":       stem.RetryWith(stem.RetryPolicy{DefaultDelay: -1}),
	} {
		_, err := client.Enqueue(t.Context(), "t", nil, option)
		var refused *stem.OptionError
		if !errors.As(err, &refused) || refused.Option != name {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err := client.Enqueue(t.Context(), "t", nil, stem.SoftLimit(time.Minute), stem.HardLimit(time.Second))
	if err == nil || !strings.Contains(err.Error(), "softTimeLimit") {
		t.Errorf("a soft limit over the hard one: got %v", err)
	}
}

func TestAMessageThatIsTooLargeIsRefusedWithBothSizes(t *testing.T) {
	store := open(t)
	client := stem.NewClient(store)
	big := args{strings.Repeat("x", stem.MaxMessage)}
	_, err := client.Enqueue(t.Context(), "t", big)
	var size *stem.SizeError
	if !errors.As(err, &size) || size.Limit != stem.MaxMessage || size.Size <= size.Limit {
		t.Fatalf("got %v", err)
	}
	results, err := client.EnqueueMany(t.Context(), stem.Call{Name: "t", Args: args{"ok"}}, stem.Call{Name: "t", Args: big}, stem.Call{Name: "t", Args: args{"ok"}})
	if err != nil || results[0].Err != nil || results[2].Err != nil || !errors.As(results[1].Err, &size) {
		t.Errorf("one bad call must not keep the others back: %v, %+v", err, results)
	}
}

func TestAnIdThatExistsComesBackAsADuplicate(t *testing.T) {
	client := stem.NewClient(open(t))
	first, err := client.Enqueue(t.Context(), "t", nil, stem.TaskID("order-7"))
	if err != nil || first.Duplicate() || first.ID() != "order-7" {
		t.Fatalf("first: %+v, %v", first, err)
	}
	second, err := client.Enqueue(t.Context(), "t", nil, stem.TaskID("order-7"))
	if err != nil || !second.Duplicate() || second.ID() != "order-7" {
		t.Errorf("second: %+v, %v", second, err)
	}
}

func TestETAWinsOverDelayAndExpiryCountsFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		h := stem.NewHeader("t", stem.Delay(time.Minute), stem.ETA(now.Add(time.Hour)), stem.ExpiresIn(2*time.Hour))
		if !h.NotBefore.Equal(now.Add(time.Hour)) || !h.ExpiresAt.Equal(now.Add(2*time.Hour)) {
			t.Errorf("not before %s, expires %s", h.NotBefore, h.ExpiresAt)
		}
		if h := stem.NewHeader("t", stem.Countdown(time.Minute)); !h.NotBefore.Equal(now.Add(time.Minute)) {
			t.Errorf("countdown: not before %s", h.NotBefore)
		}
	})
}

func TestWaitReturnsTheResultOrTheErrorOfTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := open(t)
		client := stem.NewClient(store)
		good, err := resize.Enqueue(t.Context(), client, args{"a"})
		if err != nil {
			t.Fatal(err)
		}
		bad, err := resize.Enqueue(t.Context(), client, args{"b"})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for _, end := range []stem.Status{{State: stem.Succeeded, Result: []byte("42")}, {State: stem.Failed, Error: &stem.TaskError{Message: "boom"}}} {
				time.Sleep(time.Minute)
				d := claim(t, store, "media")
				settle(t, store, stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: end}})
			}
		}()
		if n, err := good.Wait(t.Context()); n != 42 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		_, err = bad.Wait(t.Context())
		var failed *stem.TaskError
		if !errors.As(err, &failed) || failed.Message != "boom" {
			t.Errorf("got %v", err)
		}
	})
}

func TestWaitEndsWithItsContextAndSaysWhatWasKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := stem.NewClient(open(t))
		h, err := client.Enqueue(t.Context(), "t", nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		s, err := h.Wait(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || s.State != stem.Queued {
			t.Errorf("got %s, %v", s.State, err)
		}
	})
}

func TestHooksWrapEachOtherAndMayStopAPublish(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	hook := func(name string) stem.Hooks {
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, what+" "+name)
		}
		return stem.Hooks{
			BeforePublish: func(_ context.Context, h *stem.Header) error {
				note("before")
				if h.Name == "forbidden" && name == "inner" {
					return errors.New("not today")
				}
				if h.Headers == nil {
					h.Headers = map[string]string{}
				}
				h.Headers["by"] += name
				return nil
			},
			AfterPublish: func(context.Context, *stem.Header, stem.Published) { note("after") },
		}
	}
	store := open(t)
	client := stem.NewClient(store, stem.WithHooks(hook("outer")), stem.WithHooks(hook("inner")))
	if _, err := client.Enqueue(t.Context(), "t", nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(calls, ", "); got != "before outer, before inner, after inner, after outer" {
		t.Errorf("called %s", got)
	}
	if h, _ := stem.DecodeHeader(claim(t, store, stem.DefaultQueue).Envelope.Header); h.Headers["by"] != "outerinner" {
		t.Errorf("headers %v", h.Headers)
	}
	if _, err := client.Enqueue(t.Context(), "forbidden", nil); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("got %v", err)
	}
}

func TestATaskGoesToTheHomeQueueThatAManifestNames(t *testing.T) {
	store := open(t)
	body, err := json.Marshal(stem.PluginManifest{Plugin: "mail", Tasks: []stem.TaskSpec{{Name: "mail.send", Queue: "mail"}}})
	if err != nil {
		t.Fatal(err)
	}
	record := stem.Record{RecordRef: stem.RecordRef{Kind: stem.KindManifest, ID: "n/mail"}, Body: body}
	if _, err := store.Records.Save(t.Context(), stem.RecordWrite{Record: record}); err != nil {
		t.Fatal(err)
	}
	client := stem.NewClient(store)
	for _, name := range []string{"mail.send", "other"} {
		if _, err := client.Enqueue(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	if d := claim(t, store, "mail"); d.Name != "mail.send" {
		t.Errorf("claimed %s from mail", d.Name)
	}
	if d := claim(t, store, stem.DefaultQueue); d.Name != "other" {
		t.Errorf("claimed %s from default", d.Name)
	}
}

func TestCancelIsDurableAndLeavesWhatHasEndedAlone(t *testing.T) {
	store := open(t)
	client := stem.NewClient(store)
	h, err := client.Enqueue(t.Context(), "t", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Cancel(t.Context(), h.ID(), stem.CancelOptions{Reason: "no longer needed", Force: true}); err != nil {
		t.Fatal(err)
	}
	records, err := store.Records.Load(t.Context(), stem.RecordRef{Kind: stem.KindRevocation, ID: h.ID()})
	if err != nil || records[0] == nil {
		t.Fatalf("the revocation is not kept: %v", err)
	}
	var r stem.Revocation
	if err := json.Unmarshal(records[0].Body, &r); err != nil || !r.Force || !r.Terminate || r.Reason != "no longer needed" || r.Requester == "" {
		t.Errorf("revocation %+v, %v", r, err)
	}
	if err := client.Cancel(t.Context(), "nobody", stem.CancelOptions{}); !errors.Is(err, stem.ErrNotFound) {
		t.Errorf("an unknown task: got %v", err)
	}
	d := claim(t, store, stem.DefaultQueue)
	settle(t, store, stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: stem.Status{State: stem.Succeeded}}})
	if err := client.Cancel(t.Context(), h.ID(), stem.CancelOptions{}); err == nil || !strings.Contains(err.Error(), "already succeeded") {
		t.Errorf("an ended task: got %v", err)
	}
}

// flaky fails the first publishes.
type flaky struct {
	stem.Broker
	mu    sync.Mutex
	fails int
	sizes []int
}

func (f *flaky) Publish(ctx context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	f.mu.Lock()
	f.sizes = append(f.sizes, len(msgs))
	fail := f.fails > 0
	f.fails--
	f.mu.Unlock()
	if fail {
		return nil, errors.New("store away")
	}
	return f.Broker.Publish(ctx, msgs...)
}

func TestAPublishIsTriedAgainOnlyWhenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := open(t)
		broker := &flaky{Broker: store.Broker, fails: 1}
		store.Broker = broker
		client := stem.NewClient(store)
		if _, err := client.Enqueue(t.Context(), "t", nil); err == nil || !strings.Contains(err.Error(), "store away") {
			t.Fatalf("without a policy: got %v", err)
		}
		broker.fails = 3
		begun := time.Now()
		if _, err := client.Enqueue(t.Context(), "t", nil, stem.PublishRetry(stem.RetryPolicy{DefaultDelay: time.Second})); err != nil {
			t.Fatalf("with a policy: %v", err)
		}
		if waited := time.Since(begun); waited != 3*time.Second {
			t.Errorf("waited %s, want 3 s", waited)
		}
		broker.fails = 4
		if _, err := client.EnqueueMany(t.Context(), stem.Call{Name: "t", Options: []stem.Option{stem.PublishRetry(stem.RetryPolicy{})}}); err == nil {
			t.Error("three retries are the default, the fourth failure is the caller's")
		}
	})
}

// deaf publishes and does not hear that it has.
type deaf struct {
	stem.Broker
	fails bool
}

func (d *deaf) Publish(ctx context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	out, err := d.Broker.Publish(ctx, msgs...)
	if d.fails {
		return nil, errors.New("no answer")
	}
	return out, err
}

func TestWhatMayHaveBeenEnqueuedIsRepeatedWithTheIdThatTheErrorNames(t *testing.T) {
	store := open(t)
	broker := &deaf{store.Broker, true}
	store.Broker = broker
	client := stem.NewClient(store)
	_, err := client.Enqueue(t.Context(), "t", nil, stem.Queue("q"))
	var alone *stem.UnconfirmedError
	if !errors.As(err, &alone) || alone.ID == "" || !strings.Contains(err.Error(), alone.ID) {
		t.Fatalf("alone it gave %v", err)
	}
	results, err := client.EnqueueMany(t.Context(), call("q"), stem.Call{Name: "t", Args: make(chan int)}, call("q"))
	var whole *stem.UnconfirmedError
	if err == nil || errors.As(err, &whole) {
		t.Errorf("the whole batch gave %v, which is not of one task", err)
	}
	ids := []string{alone.ID}
	for i, r := range results {
		var open *stem.UnconfirmedError
		switch unknown := errors.As(r.Err, &open); {
		case i == 1 && (unknown || r.ID != "" || r.Err == nil):
			t.Errorf("a call that can not be made is known not to be enqueued, it gave %+v", r)
		case i != 1 && (!unknown || r.ID == "" || open.ID != r.ID):
			t.Errorf("call %d gave %+v", i, r)
		case i != 1:
			ids = append(ids, r.ID)
		}
	}
	broker.fails = false
	for _, id := range ids {
		if h, err := client.Enqueue(t.Context(), "t", nil, stem.Queue("q"), stem.TaskID(id)); err != nil || !h.Duplicate() {
			t.Errorf("repeating %s gave %+v, %v", id, h, err)
		}
	}
}

func TestConcurrentEnqueuesShareRoundTrips(t *testing.T) {
	store := open(t)
	broker := &flaky{Broker: store.Broker}
	store.Broker = broker
	client := stem.NewClient(store)
	const n = 2000
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range n / 50 {
				if _, err := client.Enqueue(t.Context(), "t", nil, stem.Queue("q")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, size := range broker.sizes {
		total += size
	}
	if total != n {
		t.Errorf("%d messages were published, want %d", total, n)
	}
	if len(broker.sizes) >= n {
		t.Errorf("%d round trips for %d concurrent messages: none was shared", len(broker.sizes), n)
	}
}
