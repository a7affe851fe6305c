package testserver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// patience bounds a failure to start, not a start: a loaded machine takes its time.
const patience = 30 * time.Second

// final is an error that no further try can mend.
type final struct{ error }

// poll tries until there is no error. The error is the last one, when ctx or the patience has ended.
func poll(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if last := (final{}); errors.As(err, &last) {
			return last.error
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("testserver: gave up after %v: %w", patience, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
