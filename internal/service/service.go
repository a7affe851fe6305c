// Package service runs the parts of a daemon: each is one blocking Run, stacked so that what is below outlives what is above.
package service

import (
	"context"
	"errors"
	"fmt"
)

// Service is a part with a life of its own. Run returns when ctx ends and everything it started is gone; any earlier return
// with an error ends the stack.
type Service interface {
	Run(ctx context.Context) error
}

// Func makes a function a Service.
type Func func(ctx context.Context) error

// Run calls f.
func (f Func) Run(ctx context.Context) error { return f(ctx) }

// Part is a named member of a Stack.
type Part struct {
	Name    string
	Service Service
}

// Stack runs parts: started from first to last, stopped from last to first, each waited for before the one below it is told.
type Stack []Part

// Run blocks until ctx ends or a part fails, then stops all. It returns the errors of all parts, each with its part's name.
func (s Stack) Run(ctx context.Context) error {
	type running struct {
		stop context.CancelFunc
		done chan struct{}
		err  error
	}
	failed := make(chan struct{}, len(s))
	parts := make([]*running, len(s))
	for i, p := range s {
		partCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := &running{stop: stop, done: make(chan struct{})}
		parts[i] = r
		go func() {
			defer close(r.done)
			if err := p.Service.Run(partCtx); err != nil && !(errors.Is(err, context.Canceled) && partCtx.Err() != nil) {
				r.err = fmt.Errorf("%s: %w", p.Name, err)
				failed <- struct{}{}
			}
		}()
	}
	select {
	case <-ctx.Done():
	case <-failed:
	}
	var errs []error
	for i := len(parts) - 1; i >= 0; i-- {
		parts[i].stop()
		<-parts[i].done
		errs = append(errs, parts[i].err)
	}
	return errors.Join(errs...)
}
