package stem

import "context"

// Task is the definition of a task: its name, the types of its arguments and result, and its default options. Producer and
// handler import the same definition.
type Task[A, R any] struct {
	name     string
	options  []Option
	settings settings
}

// NewTask defines a task. It has no effect but to return the definition.
func NewTask[A, R any](name string, opts ...Option) Task[A, R] {
	return Task[A, R]{name: name, options: opts, settings: *settle(opts)}
}

// Name of the task.
func (t Task[A, R]) Name() string { return t.name }

// Options are the definition's defaults.
func (t Task[A, R]) Options() Options { return t.settings.Options }

// Spec is what a manifest says of the task, without schemas.
func (t Task[A, R]) Spec() TaskSpec { return spec(t.name, &t.settings) }

func spec(name string, s *settings) TaskSpec {
	t := TaskSpec{Name: name, Description: s.description, Tags: s.tags, Idempotent: s.idempotent, Exclusive: s.exclusive, Options: s.Options}
	if s.Options.Queue != nil {
		t.Queue = *s.Options.Queue
	}
	if s.Options.Priority != nil {
		t.Priority = *s.Options.Priority
	}
	if s.Options.MaxRetries != nil {
		t.MaxRetries = *s.Options.MaxRetries
	}
	return t
}

// NewSpec is Task.Spec for a task without Go types.
func NewSpec(name string, opts ...Option) TaskSpec { return spec(name, settle(opts)) }

// Call is one task to enqueue.
type Call struct {
	Name    string
	Args    any // encoded as JSON; json.RawMessage is taken as it is
	Options []Option
}

// Call makes a Call of this definition, for EnqueueMany.
func (t Task[A, R]) Call(args A, opts ...Option) Call {
	all := make([]Option, 0, len(t.options)+len(opts))
	return Call{Name: t.name, Args: args, Options: append(append(all, t.options...), opts...)}
}

// Enqueue publishes one task. Options given here win over the definition's.
func (t Task[A, R]) Enqueue(ctx context.Context, c *Client, args A, opts ...Option) (TaskHandle[R], error) {
	call := t.Call(args, opts...)
	h, err := c.Enqueue(ctx, call.Name, call.Args, call.Options...)
	return TaskHandle[R]{h}, err
}
