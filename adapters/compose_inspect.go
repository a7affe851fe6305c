package adapters

import (
	"context"
	"errors"
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

// Purge implements stem.Inspector. The broker's store says which of the tasks it held are cancelled now.
func (b *composedBroker) Purge(ctx context.Context, queue string) (int, error) {
	i, err := capability[stem.Inspector](b.broker.Broker, "purge")
	if err != nil {
		return 0, err
	}
	var ids []string
	for q := (stem.BrowseQuery{Queue: queue, Limit: pageMax}); b.apart; {
		page, err := i.Browse(ctx, q)
		if err != nil {
			return 0, err
		}
		for _, s := range page.Items {
			ids = append(ids, s.ID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	n, err := i.Purge(ctx, queue)
	for part := range slices.Chunk(ids, pageMax) { // also those that were purged before an error
		if failed := b.cancelled(ctx, part); failed != nil {
			return n, errors.Join(err, failed)
		}
	}
	return n, err
}

// cancelled copies what became of purged tasks, and counts it in their groups.
func (b *composedBroker) cancelled(ctx context.Context, ids []string) error {
	after, err := b.broker.Results.Load(ctx, ids...)
	if err != nil {
		return err
	}
	var writes []stem.StatusWrite
	var tallies []stem.Tally
	for _, s := range after {
		if s == nil || s.State != stem.Cancelled {
			continue
		}
		writes = append(writes, stem.StatusWrite{Status: *s})
		if tally, ok := EndTally(s); ok {
			tallies = append(tallies, tally)
		}
	}
	if err := b.results.Results.Save(ctx, writes...); err != nil {
		return err
	}
	return b.count(ctx, tallies)
}

// Maintain implements stem.Maintainer for every store there is.
func (b *composedBroker) Maintain(ctx context.Context) (stem.Maintained, error) {
	var sum stem.Maintained
	var errs []error // what can not be reached keeps nothing else from being done
	for _, s := range b.parts() {
		m, ok := s.Broker.(stem.Maintainer)
		if !ok {
			continue
		}
		one, err := m.Maintain(ctx)
		more := sum.More || one.More
		sum = sum.Add(one)
		sum.More, errs = more, append(errs, err)
	}
	return sum, errors.Join(errs...)
}

// ReleaseOwner implements stem.Takeover.
func (b *composedBroker) ReleaseOwner(ctx context.Context, owner string) (int, error) {
	t, err := capability[stem.Takeover](b.broker.Broker, "release owner")
	if err != nil {
		return 0, err
	}
	return t.ReleaseOwner(ctx, owner)
}

// Take implements stem.Limiter.
func (b *composedBroker) Take(ctx context.Context, asks ...stem.RateAsk) ([]stem.RateAnswer, error) {
	l, err := capability[stem.Limiter](b.broker.Broker, "take")
	if err != nil {
		return nil, err
	}
	return l.Take(ctx, asks...)
}
