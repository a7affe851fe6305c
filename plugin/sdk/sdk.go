// Package sdk makes a Go program a handler plugin: declare handlers, call Serve.
//
//	func main() {
//		p := sdk.New("media", "1.4.0")
//		sdk.Handle(p, jobs.Resize, resize) // func(ctx context.Context, a ResizeArgs) (Image, error)
//		sdk.Serve(p)
//	}
//
// Handlers are plain functions. They steer with the errors they return (Permanent, RetryAfter, Snooze) and reach their task
// through Task(ctx). stemd starts the program, sends it tasks, and kills it when it must.
package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/stemd/stem"
)

// Version of this SDK, told to hosts.
const Version = "0.1.0"

// Plugin is a set of handlers. Build it before Serve; it is not safe for concurrent use while being built.
type Plugin struct {
	name, version string
	handlers      map[string]*handler
	order         []*handler
	middleware    []Middleware
	config        func(json.RawMessage) error
	configSchema  json.RawMessage
}

// handler is one declared task.
type handler struct {
	spec         stem.TaskSpec
	run          Handler
	args, result any // zero values, for schemas; nil: anything
}

// Handler is a handler without its types: encoded arguments in, a value to encode out.
type Handler func(ctx context.Context, args json.RawMessage) (result any, err error)

// Middleware wraps every handler of a plugin.
type Middleware func(next Handler) Handler

// New makes an empty plugin. The version is free-form and shown to people.
func New(name, version string) *Plugin {
	return &Plugin{name: name, version: version, handlers: map[string]*handler{}}
}

// Handle declares a task with its handler. Arguments are decoded from JSON into A; arguments that do not fit are a permanent
// failure of type InvalidArgs. Declaring a name twice panics: it is a mistake in the program.
func Handle[A, R any](p *Plugin, task stem.Task[A, R], fn func(ctx context.Context, args A) (R, error)) {
	var args A
	var result R
	p.add(&handler{spec: task.Spec(), args: args, result: result, run: func(ctx context.Context, raw json.RawMessage) (any, error) {
		var args A
		if err := decode(raw, &args); err != nil {
			return nil, err
		}
		return fn(ctx, args)
	}})
}

// HandleFunc declares a task without Go types.
func HandleFunc(p *Plugin, name string, fn Handler, opts ...stem.Option) {
	p.add(&handler{spec: stem.NewSpec(name, opts...), run: fn})
}

// Use wraps every handler, also those declared before. The first added is the outermost.
func Use(p *Plugin, m ...Middleware) { p.middleware = append(p.middleware, m...) }

// Configure declares the plugin's own config block: it is decoded into C before the first task, and an error keeps the plugin
// from starting.
func Configure[C any](p *Plugin, apply func(C) error) {
	var c C
	p.configSchema = schemaOf(c)
	p.config = func(raw json.RawMessage) error {
		var c C
		if len(raw) > 0 {
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&c); err != nil {
				return fmt.Errorf("config of plugin %s: %w", p.name, err)
			}
		}
		return apply(c)
	}
}

func (p *Plugin) add(h *handler) {
	if err := stem.CheckName("task name", h.spec.Name); err != nil {
		panic("sdk: " + err.Error())
	}
	if _, twice := p.handlers[h.spec.Name]; twice {
		panic(fmt.Sprintf("sdk: plugin %s declares %q twice", p.name, h.spec.Name))
	}
	p.handlers[h.spec.Name] = h
	p.order = append(p.order, h)
}

// wrapped is a handler inside the plugin's middleware.
func (p *Plugin) wrapped(h *handler) Handler {
	run := h.run
	for i := len(p.middleware) - 1; i >= 0; i-- {
		run = p.middleware[i](run)
	}
	return run
}

func decode(raw json.RawMessage, v any) error {
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return Permanent(Typed("InvalidArgs", fmt.Errorf("arguments do not fit: %w", err)))
	}
	return nil
}
