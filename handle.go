package stem

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Handle refers to a task.
type Handle struct {
	client    *Client
	id        string
	duplicate bool
}

func (c *Client) handle(p Published) *Handle { return &Handle{c, p.ID, p.State == Duplicate} }

// Handle refers to a task of known id, without looking whether it exists.
func (c *Client) Handle(id string) *Handle { return &Handle{client: c, id: id} }

// ID of the task.
func (h *Handle) ID() string { return h.id }

// Duplicate says that the id existed already and nothing was published.
func (h *Handle) Duplicate() bool { return h.duplicate }

// Status is what is known of the task now; ErrNotFound when nothing is.
func (h *Handle) Status(ctx context.Context) (Status, error) { return h.client.Status(ctx, h.id) }

// Wait blocks until the task is terminal, from whatever process, and returns its status; also a failed task is no error here.
// When ctx ends first it returns the last known status with ctx's error.
func (h *Handle) Wait(ctx context.Context) (Status, error) {
	watchCtx, stop := context.WithCancel(ctx)
	defer stop()
	last := Status{ID: h.id}
	// Subscribing before the first read leaves no gap in which the end could pass unseen.
	changes, err := h.client.store.Results.Watch(watchCtx, h.id)
	for err == nil {
		s, open := <-changes
		if !open {
			break
		}
		if last = s; s.State.Terminal() {
			return s, nil
		}
	}
	const shortest, longest = 10 * time.Millisecond, time.Second
	for pause := shortest; ; pause = min(2*pause, longest) {
		if err := ctx.Err(); err != nil {
			return last, fmt.Errorf("wait for task %s: %w", h.id, err)
		}
		loaded, err := h.client.store.Results.Load(ctx, h.id)
		if err == nil && loaded[0] != nil {
			if last = *loaded[0]; last.State.Terminal() {
				return last, nil
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// TaskHandle is a Handle that knows the type of the result.
type TaskHandle[R any] struct{ *Handle }

// Wait blocks until the task is terminal and returns its result; the error of a failed or cancelled task is a *TaskError.
func (h TaskHandle[R]) Wait(ctx context.Context) (R, error) {
	var result R
	s, err := h.Handle.Wait(ctx)
	if err != nil {
		return result, err
	}
	return result, DecodeResult(s, &result)
}

// DecodeResult decodes the result of a succeeded task into v. A task that did not succeed gives its *TaskError. A result that
// was not kept leaves v alone.
func DecodeResult(s Status, v any) error {
	if s.State != Succeeded {
		if s.Error != nil {
			return s.Error
		}
		return &TaskError{Class: ClassError, Type: "NoResult", Message: fmt.Sprintf("task %s is %s", s.ID, s.State)}
	}
	if len(s.Result) == 0 {
		return nil
	}
	if s.Encoder != "" && s.Encoder != EncoderJSON {
		return fmt.Errorf("result of task %s: unknown encoder %q", s.ID, s.Encoder)
	}
	if err := json.Unmarshal(s.Result, v); err != nil {
		return fmt.Errorf("result of task %s: %w", s.ID, err)
	}
	return nil
}

// EncoderJSON is the default encoder of arguments and results; the empty id means it too.
const EncoderJSON = "json"
