package adapters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
)

// A part of a store may not answer while the others do. What is done for a batch together, as that is cheap, is then done for each of its
// members alone, so that nothing fails or waits for a part that it does not need.

const (
	// togetherPatience is how long several members wait for each other.
	togetherPatience = 3 * time.Second
	// apartPatience is how long those wait for an answer that go alone.
	apartPatience = 5 * time.Second
	// apartAbreast is how many go alone at the same time.
	apartAbreast = 128
	// afterPatience is how long an answer waits for what is only a help to others.
	afterPatience = 2 * time.Second
)

// together does something for n members of a batch.
func together(ctx context.Context, n int, do func(ctx context.Context) error) error {
	if n > 1 {
		soon, cancel := context.WithTimeout(ctx, togetherPatience)
		defer cancel()
		ctx = soon
	}
	return do(ctx)
}

// apart does it for each of them alone, since together it failed with why.
func apart(ctx context.Context, n int, why error, do func(ctx context.Context, i int) error) []error {
	if n == 1 || ctx.Err() != nil {
		return slices.Repeat([]error{why}, n)
	}
	ctx, cancel := context.WithTimeout(ctx, apartPatience)
	defer cancel()
	return Abreast(n, apartAbreast, func(i int) error { return do(ctx, i) })
}

// unreachable is the answer to a member for which something could not be done.
func unreachable(err error) error {
	if err == nil || errors.Is(err, stem.ErrUnreachable) {
		return err
	}
	return fmt.Errorf("%w: %w", stem.ErrUnreachable, err)
}

// unlessAll gives the answers to a batch, or one error when nothing at all could be done.
func unlessAll(errs []error) ([]error, error) {
	for _, err := range errs {
		if !errors.Is(err, stem.ErrUnreachable) {
			return errs, nil
		}
	}
	if len(errs) == 0 {
		return errs, nil
	}
	return nil, errs[0]
}

// unlessNone gives what became of messages, or one error when nothing is known of any.
func unlessNone(out []stem.Published) ([]stem.Published, error) {
	for _, p := range out {
		if p.State != stem.Unconfirmed {
			return out, nil
		}
	}
	if len(out) == 0 {
		return out, nil
	}
	return nil, out[0].Err
}

// afterwards does what is only a help to others, and does not wait for it long.
func afterwards(ctx context.Context, do func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, afterPatience)
	defer cancel()
	do(ctx)
}
