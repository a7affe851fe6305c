package adapters

import (
	"context"
	"fmt"
	"slices"

	"github.com/stemd/stem"
)

// A composed broker has every optional capability and answers ErrUnsupported for those that its broker lacks.
var (
	_ stem.Inspector  = (*composedBroker)(nil)
	_ stem.Maintainer = (*composedBroker)(nil)
	_ stem.Takeover   = (*composedBroker)(nil)
	_ stem.Limiter    = (*composedBroker)(nil)
)

func capability[C any](b stem.Broker, op string) (C, error) {
	c, ok := b.(C)
	if !ok {
		return c, fmt.Errorf("%s: %w", op, stem.ErrUnsupported)
	}
	return c, nil
}

// Queues implements stem.Inspector.
func (b *composedBroker) Queues(ctx context.Context) ([]stem.QueueCounts, error) {
	i, err := capability[stem.Inspector](b.broker.Broker, "queues")
	if err != nil {
		return nil, err
	}
	return i.Queues(ctx)
}

// Browse implements stem.Inspector.
func (b *composedBroker) Browse(ctx context.Context, q stem.BrowseQuery) (stem.BrowsePage, error) {
	i, err := capability[stem.Inspector](b.broker.Broker, "browse")
	if err != nil {
		return stem.BrowsePage{}, err
	}
	return i.Browse(ctx, q)
}

// DeadLetters implements stem.Inspector.
func (b *composedBroker) DeadLetters(ctx context.Context, q stem.DeadLetterQuery) (stem.DeadLetterPage, error) {
	i, err := capability[stem.Inspector](b.broker.Broker, "dead letters")
	if err != nil {
		return stem.DeadLetterPage{}, err
	}
	return i.DeadLetters(ctx, q)
}

// PurgeDeadLetters implements stem.Inspector.
func (b *composedBroker) PurgeDeadLetters(ctx context.Context, q stem.DeadLetterQuery) (int, error) {
	i, err := capability[stem.Inspector](b.broker.Broker, "purge dead letters")
	if err != nil {
		return 0, err
	}
	return i.PurgeDeadLetters(ctx, q)
}

// Replay implements stem.Inspector.
func (b *composedBroker) Replay(ctx context.Context, r stem.Replay) ([]stem.Replayed, error) {
	i, err := capability[stem.Inspector](b.broker.Broker, "replay")
	if err != nil {
		return nil, err
	}
	out, err := i.Replay(ctx, r)
	if err != nil || r.DryRun {
		return out, err
	}
	var ids []string
	for _, p := range out {
		if p.Err == nil {
			ids = append(ids, p.DeadLetter.Message.ID)
		}
	}
	return out, b.mirror(ctx, ids)
}

// Maintain implements stem.Maintainer for every store there is.
func (b *composedBroker) Maintain(ctx context.Context) (stem.Maintained, error) {
	var sum stem.Maintained
	errs := []error{b.mendPurges(ctx)} // what can not be reached keeps nothing else from being done
	for _, s := range b.parts() {
		m, ok := s.Broker.(stem.Maintainer)
		if !ok {
			continue
		}
		one, err := m.Maintain(ctx)
		sum, errs = sum.Beside(one), append(errs, err)
	}
	return sum, Joined(errs...)
}

// ReleaseOwner implements stem.Takeover. What is said of the tasks that it gives back is a help: it is put right when they are claimed.
func (b *composedBroker) ReleaseOwner(ctx context.Context, owner string) (int, error) {
	t, err := capability[stem.Takeover](b.broker.Broker, "release owner")
	if err != nil {
		return 0, err
	}
	var held []string
	if b.apart {
		held, _ = b.heldBy(ctx, owner)
	}
	n, err := t.ReleaseOwner(ctx, owner)
	for part := range slices.Chunk(held, pageMax) {
		afterwards(ctx, func(ctx context.Context) { _ = b.mirror(ctx, part) })
	}
	return n, err
}

// heldBy finds the tasks that an owner holds. One whose lease is over long since may be missed.
func (b *composedBroker) heldBy(ctx context.Context, owner string) (ids []string, err error) {
	i, err := capability[stem.Inspector](b.broker.Broker, "browse")
	if err != nil {
		return nil, err
	}
	counts, err := i.Queues(ctx)
	for _, q := range counts {
		// The running ones come first, and those whose lease has ended stand before what came later.
		page := stem.BrowsePage{Next: "first"}
		for seen := 0; err == nil && page.Next != "" && seen <= q.Running; seen += len(page.Items) {
			query := stem.BrowseQuery{Queue: q.Queue, Limit: pageMax}
			if seen > 0 {
				query.Cursor = page.Next
			}
			page, err = i.Browse(ctx, query)
			for _, s := range page.Items {
				if s.State == stem.Running && s.Worker == node(owner) {
					ids = append(ids, s.ID)
				}
			}
		}
	}
	return ids, err
}

// Take implements stem.Limiter.
func (b *composedBroker) Take(ctx context.Context, asks ...stem.RateAsk) ([]stem.RateAnswer, error) {
	l, err := capability[stem.Limiter](b.broker.Broker, "take")
	if err != nil {
		return nil, err
	}
	return l.Take(ctx, asks...)
}
