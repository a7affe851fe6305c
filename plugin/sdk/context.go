package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
)

type contextKey struct{}

// Task is the task that a handler's context belongs to. It panics on any other context.
func Task(ctx context.Context) *TaskContext {
	t, ok := ctx.Value(contextKey{}).(*TaskContext)
	if !ok {
		panic("sdk: Task: this context is not that of a handler")
	}
	return t
}

// TaskContext is what a handler can know of its task and do with it. It is safe for concurrent use, and of no use after the
// handler has returned.
type TaskContext struct {
	run *run

	once   sync.Once
	header *stem.Header

	mu       sync.Mutex
	ordinal  int
	followUp []*pluginv1.NewTask
}

// Header is everything the producer said of the task.
func (t *TaskContext) Header() *stem.Header {
	t.once.Do(func() {
		h, err := stem.DecodeHeader(t.run.delivery.GetHeader())
		if err != nil {
			h = &stem.Header{} // the daemon refuses such tasks; this one can not be met
		}
		t.header = h
	})
	return t.header
}

// ID of the task; the same for all its attempts.
func (t *TaskContext) ID() string { return t.Header().ID }

// Name of the task.
func (t *TaskContext) Name() string { return t.run.name }

// Attempt is 0 for the first.
func (t *TaskContext) Attempt() int { return int(t.run.delivery.GetAttempt()) }

// Queue the task came from.
func (t *TaskContext) Queue() string { return t.run.delivery.GetQueue() }

// Worker is the name of the daemon.
func (t *TaskContext) Worker() string { return t.run.session.configure.GetWorker() }

// Headers that travelled with the task. Do not change them.
func (t *TaskContext) Headers() map[string]string { return t.Header().Headers }

// Meta decodes a metadata value into v; false: there is none of that key.
func (t *TaskContext) Meta(key string, v any) (bool, error) {
	raw, ok := t.Header().Meta[key]
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(raw, v)
}

// Progress reports how far the task is, 0 to 100, with free data (encoded as JSON; nil: none). Only the latest report counts.
func (t *TaskContext) Progress(percent float64, data any) {
	p := &pluginv1.Progress{Seq: t.run.delivery.GetSeq(), Percent: percent}
	if data != nil {
		if b, err := json.Marshal(data); err == nil {
			p.Data = b
		}
	}
	t.run.session.out.progress(p)
}

// Heartbeat is a sign of life. Leases are renewed by the daemon; nobody has to call this to keep a task.
func (t *TaskContext) Heartbeat() { t.Progress(0, nil) }

// ExtendLease asks for leases of at least d from the next renewal on.
func (t *TaskContext) ExtendLease(d time.Duration) {
	t.run.session.out.progress(&pluginv1.Progress{Seq: t.run.delivery.GetSeq(), ExtendLease: d.Microseconds()})
}

// Logger writes into the daemon's log, with the task's id.
func (t *TaskContext) Logger() *slog.Logger {
	return slog.New(&logHandler{logs: t.run.session.logs, seq: t.run.delivery.GetSeq()})
}

// Enqueue publishes a child task now and returns its id. The id is derived from this task's and the child's place in the order
// of calls, so a repeated attempt enqueues the same child and not a second one; stem.TaskID chooses another.
func (t *TaskContext) Enqueue(ctx context.Context, name string, args any, opts ...stem.Option) (string, error) {
	child, err := t.child(name, args, opts)
	if err != nil {
		return "", err
	}
	reply, err := t.run.session.call(ctx, &pluginv1.Call{Seq: t.run.delivery.GetSeq(), Enqueue: []*pluginv1.NewTask{child}})
	if err != nil {
		return "", fmt.Errorf("enqueue %s: %w", name, err)
	}
	if reply.GetError() != "" || len(reply.GetIds()) != 1 {
		return "", fmt.Errorf("enqueue %s: %w", name, errors.New(reply.GetError()))
	}
	return reply.GetIds()[0], nil
}

// EnqueueOnSuccess publishes a child together with this task's success: both or none.
func (t *TaskContext) EnqueueOnSuccess(name string, args any, opts ...stem.Option) error {
	child, err := t.child(name, args, opts)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followUp = append(t.followUp, child)
	return nil
}

func (t *TaskContext) child(name string, args any, opts []stem.Option) (*pluginv1.NewTask, error) {
	body, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("enqueue %s: arguments: %w", name, err)
	}
	h := stem.NewHeader(name, opts...)
	if stem.NoParent(opts...) {
		h.RootID = plugin.NoParent
	}
	header, err := h.Proto()
	if err != nil {
		return nil, fmt.Errorf("enqueue %s: %w", name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ordinal++
	return &pluginv1.NewTask{Header: header, Body: body, Key: fmt.Sprintf("#%d", t.ordinal)}, nil
}
