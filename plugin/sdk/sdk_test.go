package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin/sdk"
	"github.com/stemd/stem/plugin/sdk/stemtest"
)

type in struct {
	N int `json:"n"`
}

var double = stem.NewTask[in, int]("math.double")

// fails runs a handler that returns err and gives the error a client would see.
func fails(t *testing.T, err error) *stem.TaskError {
	t.Helper()
	_, got := stemtest.Run(t, double, func(context.Context, in) (int, error) { return 0, err }, in{})
	var e *stem.TaskError
	if !errors.As(got, &e) {
		t.Fatalf("got %v, want a *stem.TaskError", got)
	}
	return e
}

func TestAHandlerGetsItsArgumentsAndItsResultComesBack(t *testing.T) {
	got, err := stemtest.Run(t, double, func(_ context.Context, a in) (int, error) { return 2 * a.N, nil }, in{21})
	if got != 42 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
}

type busyError struct{}

func (busyError) Error() string { return "busy" }

func TestTheTypeNameOfAnErrorIsWhatFiltersCompare(t *testing.T) {
	_, notExist := os.Open("/nonexistent")
	for want, err := range map[string]error{
		"error":     errors.New("plain"),
		"PathError": fmt.Errorf("reading: %w", notExist),
		"busyError": fmt.Errorf("a: %w", fmt.Errorf("b: %w", busyError{})),
		"SmtpBusy":  fmt.Errorf("sending: %w", sdk.Typed("SmtpBusy", errors.New("x"))),
	} {
		if e := fails(t, err); e.Type != want || e.Message != err.Error() || e.Class != stem.ClassError || e.Permanent {
			t.Errorf("%v: got %+v, want type %s", err, e, want)
		}
	}
	var pathErr *fs.PathError
	if !errors.As(sdk.Permanent(notExist), &pathErr) {
		t.Error("steering errors must not hide what they wrap")
	}
}

func TestAPermanentErrorSaysSoThroughWrapping(t *testing.T) {
	if e := fails(t, fmt.Errorf("outer: %w", sdk.Permanent(errors.New("inner")))); !e.Permanent || e.Message != "outer: inner" {
		t.Errorf("got %+v", e)
	}
}

func TestAPanicIsAnErrorWithItsStack(t *testing.T) {
	_, err := stemtest.Run(t, double, func(context.Context, in) (int, error) { panic("kaboom") }, in{})
	var e *stem.TaskError
	if !errors.As(err, &e) || e.Class != stem.ClassPanic || e.Message != "kaboom" || !strings.Contains(e.Stack, "sdk_test.go") {
		t.Errorf("got %+v", e)
	}
}

func TestArgumentsThatDoNotFitAreAPermanentFailure(t *testing.T) {
	p := sdk.New("p", "1")
	sdk.Handle(p, double, func(_ context.Context, a in) (int, error) { return a.N, nil })
	s := wait(t, stemtest.Start(t, p), "math.double", json.RawMessage(`{"n":"seven"}`))
	if s.State != stem.Failed || s.Error.Type != "InvalidArgs" || !s.Error.Permanent || !strings.Contains(s.Error.Message, "arguments do not fit") {
		t.Errorf("got %+v %+v", s, s.Error)
	}
}

func TestAResultThatIsTooLargeIsRefusedWithBothSizes(t *testing.T) {
	big := stem.NewTask[in, string]("big")
	_, err := stemtest.Run(t, big, func(context.Context, in) (string, error) { return strings.Repeat("x", stem.MaxResult), nil }, in{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(stem.MaxResult)) || !strings.Contains(err.Error(), fmt.Sprint(stem.MaxResult+2)) {
		t.Errorf("got %v", err)
	}
}

func TestALimitCancelsTheContextWithItsCause(t *testing.T) {
	var cause error
	_, err := stemtest.Run(t, double, func(ctx context.Context, _ in) (int, error) {
		<-ctx.Done()
		cause = context.Cause(ctx)
		return 0, ctx.Err()
	}, in{}, stem.SoftLimit(time.Millisecond))
	var e *stem.TaskError
	if !errors.Is(cause, sdk.ErrSoftLimit) || !errors.As(err, &e) || e.Type != "SoftLimitExceeded" || e.Class != stem.ClassError {
		t.Errorf("cause %v, error %+v", cause, e)
	}
}

func TestTheTaskContextKnowsWhatTheProducerSaid(t *testing.T) {
	_, err := stemtest.Run(t, double, func(ctx context.Context, _ in) (int, error) {
		task := sdk.Task(ctx)
		var n int
		ok, err := task.Meta("n", &n)
		if !ok || n != 7 || err != nil || task.Headers()["tenant"] != "x" || task.Name() != "math.double" || task.ID() == "" || task.Attempt() != 0 || task.Queue() != "q" {
			t.Errorf("meta %d %t %v, headers %v, name %s, id %s, queue %s", n, ok, err, task.Headers(), task.Name(), task.ID(), task.Queue())
		}
		if ok, _ := task.Meta("absent", &n); ok {
			t.Error("a key that is not there was found")
		}
		task.Progress(50, map[string]int{"done": 1})
		task.Heartbeat()
		task.ExtendLease(time.Minute)
		task.Logger().With("a", 1).WithGroup("g").Info("hello", "b", 2)
		return 0, nil
	}, in{}, stem.Meta("n", 7), stem.HeaderValue("tenant", "x"), stem.Queue("q"))
	if err != nil {
		t.Error(err)
	}
}

func TestMiddlewareWrapsFromTheFirstAddedInwards(t *testing.T) {
	var order []string
	layer := func(name string) sdk.Middleware {
		return func(next sdk.Handler) sdk.Handler {
			return func(ctx context.Context, args json.RawMessage) (any, error) {
				order = append(order, name)
				return next(ctx, args)
			}
		}
	}
	p := sdk.New("p", "1")
	sdk.HandleFunc(p, "t", func(context.Context, json.RawMessage) (any, error) { order = append(order, "handler"); return nil, nil })
	sdk.Use(p, layer("outer"), layer("inner"))
	wait(t, stemtest.Start(t, p), "t", nil)
	if got := strings.Join(order, " "); got != "outer inner handler" {
		t.Errorf("ran %s", got)
	}
}

func TestDeclaringATaskTwiceIsAMistakeInTheProgram(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), `"t" twice`) {
			t.Errorf("recovered %v", v)
		}
	}()
	p := sdk.New("p", "1")
	for range 2 {
		sdk.HandleFunc(p, "t", nil)
	}
}

// wait enqueues a task and returns its last status.
func wait(t *testing.T, store stem.Store, name string, args any, opts ...stem.Option) stem.Status {
	t.Helper()
	h, err := stem.NewClient(store).Enqueue(t.Context(), name, args, opts...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// started runs a plugin both ways: the wire must make no difference.
func started(t *testing.T, p func() *sdk.Plugin, test func(*testing.T, stem.Store)) {
	t.Run("in-process", func(t *testing.T) { test(t, stemtest.Start(t, p())) })
	t.Run("over the wire", func(t *testing.T) { test(t, stemtest.StartWire(t, p())) })
}

func TestSteeringErrorsSteer(t *testing.T) {
	started(t, func() *sdk.Plugin {
		p := sdk.New("p", "1")
		snoozed := map[string]bool{}
		sdk.HandleFunc(p, "retry", func(ctx context.Context, _ json.RawMessage) (any, error) {
			if n := sdk.Task(ctx).Attempt(); n < 2 {
				return nil, sdk.RetryAfter(time.Millisecond, errors.New("not yet"))
			}
			return "third", nil
		}, stem.MaxRetries(2))
		sdk.HandleFunc(p, "snooze", func(ctx context.Context, _ json.RawMessage) (any, error) {
			if id := sdk.Task(ctx).ID(); !snoozed[id] {
				snoozed[id] = true
				return nil, sdk.Snooze(time.Millisecond)
			}
			return sdk.Task(ctx).Attempt(), nil
		})
		return p
	}, func(t *testing.T, store stem.Store) {
		if s := wait(t, store, "retry", nil); s.State != stem.Succeeded || s.Attempt != 2 || string(s.Result) != `"third"` {
			t.Errorf("retry: %+v", s)
		}
		if s := wait(t, store, "retry", nil, stem.MaxRetries(1)); s.State != stem.Failed || s.Error.Type != "RetryExhausted" {
			t.Errorf("retry exhausted: %+v %+v", s, s.Error)
		}
		if s := wait(t, store, "snooze", nil); s.State != stem.Succeeded || string(s.Result) != "0" {
			t.Errorf("a snooze spends no attempt: %+v", s)
		}
	})
}

func TestChildrenCarryLineageAndARepeatedAttemptEnqueuesNoSecondOne(t *testing.T) {
	var ids []string
	started(t, func() *sdk.Plugin {
		ids = nil
		p := sdk.New("p", "1")
		sdk.HandleFunc(p, "parent", func(ctx context.Context, _ json.RawMessage) (any, error) {
			task := sdk.Task(ctx)
			id, err := task.Enqueue(ctx, "child", nil)
			if err != nil {
				return nil, err
			}
			ids = append(ids, id)
			if task.Attempt() == 0 {
				return nil, sdk.RetryAfter(time.Millisecond, errors.New("again"))
			}
			if err := task.EnqueueOnSuccess("child", nil, stem.TaskID(task.ID()+"-after"), stem.AddToParent(false)); err != nil {
				return nil, err
			}
			return id, nil
		}, stem.MaxRetries(1))
		sdk.HandleFunc(p, "child", func(ctx context.Context, _ json.RawMessage) (any, error) { return sdk.Task(ctx).Header().RootID, nil })
		return p
	}, func(t *testing.T, store stem.Store) {
		parent := wait(t, store, "parent", nil)
		if parent.State != stem.Succeeded || len(ids) != 2 || ids[0] != ids[1] {
			t.Fatalf("parent %+v %+v, children %v", parent, parent.Error, ids)
		}
		client := stem.NewClient(store)
		child, err := client.Handle(ids[0]).Wait(t.Context())
		if err != nil || child.ParentID != parent.ID || child.RootID != parent.ID || string(child.Result) != fmt.Sprintf("%q", parent.ID) {
			t.Errorf("child %+v, %v", child, err)
		}
		after, err := client.Handle(parent.ID + "-after").Wait(t.Context())
		if err != nil || after.State != stem.Succeeded || after.ParentID != "" || after.RootID != "" {
			t.Errorf("follow-up %+v, %v", after, err)
		}
	})
}

func TestTheManifestDescribesTheTasks(t *testing.T) {
	p := sdk.New("math", "2.1")
	sdk.Handle(p, stem.NewTask[in, int]("math.double", stem.Describe("doubles"), stem.Tags("a"), stem.Idempotent(), stem.Exclusive(), stem.Queue("m"), stem.MaxRetries(4), stem.Priority(2)),
		func(_ context.Context, a in) (int, error) { return a.N, nil })
	m := sdk.NewMux(p, nil, 1).Manifest()
	if m.Name != "math" || m.Version != "2.1" || m.Protocol != 1 || len(m.Tasks) != 1 {
		t.Fatalf("manifest %+v", m)
	}
	task := m.Tasks[0]
	if task.Description != "doubles" || !task.Idempotent || !task.Exclusive || task.Queue != "m" || task.MaxRetries != 4 || task.Priority != 2 || len(task.Tags) != 1 {
		t.Errorf("task %+v", task)
	}
	var schema struct {
		Properties map[string]struct{ Type string }
		Required   []string
		Additional *bool `json:"additionalProperties"`
	}
	if err := json.Unmarshal(task.ArgsSchema, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Properties["n"].Type != "integer" || len(schema.Required) != 1 || schema.Additional == nil || *schema.Additional {
		t.Errorf("schema %s", task.ArgsSchema)
	}
}
