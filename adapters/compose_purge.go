package adapters

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stemd/stem"
)

// A purge is noted before it begins, as what was cancelled is known to the broker's store only until it is copied and counted: after a
// crash maintenance does that.
const (
	kindPurge = "purge"
	purgePart = "purges"
	// purgeLasts is how long a purge may be under way at most.
	purgeLasts = time.Hour
)

// Purge implements stem.Inspector. The broker's store says which of the tasks it held are cancelled now.
func (b *composedBroker) Purge(ctx context.Context, queue string) (int, error) {
	i, err := capability[stem.Inspector](b.broker.Broker, "purge")
	if err != nil {
		return 0, err
	}
	if !b.apart {
		return i.Purge(ctx, queue)
	}
	ids, err := waiting(ctx, i, queue)
	if err != nil {
		return 0, err
	}
	note := stem.Record{RecordRef: stem.RecordRef{Kind: kindPurge, Part: purgePart, ID: queue}}
	versions, err := b.records.Records.Save(ctx, stem.RecordWrite{Record: note})
	if err != nil {
		return 0, err
	}
	n, err := i.Purge(ctx, queue)
	counted := 0
	for part := range slices.Chunk(ids, pageMax) { // also those that were purged before an error
		found, failed := b.cancelled(ctx, part)
		if failed != nil {
			return n, errors.Join(err, failed)
		}
		counted += found
	}
	if err == nil && counted < n { // some came meanwhile
		err = b.mendPurge(ctx, queue)
	}
	if err != nil {
		return n, err
	}
	return n, b.forgetPurge(ctx, note.RecordRef, versions[0])
}

// waiting are the tasks of a queue.
func waiting(ctx context.Context, i stem.Inspector, queue string) (ids []string, err error) {
	for q := (stem.BrowseQuery{Queue: queue, Limit: pageMax}); ; {
		page, err := i.Browse(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, s := range page.Items {
			ids = append(ids, s.ID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return ids, nil
		}
	}
}

// forgetPurge drops the note of a purge that is done, unless another one has begun since.
func (b *composedBroker) forgetPurge(ctx context.Context, ref stem.RecordRef, version int64) error {
	_, err := b.records.Records.Save(ctx, stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.DeleteRecord, IfVersion: version})
	if errors.Is(err, stem.ErrConflict) {
		return nil
	}
	return err
}

// cancelled copies what became of purged tasks, counts it in their groups, and says how many they were.
func (b *composedBroker) cancelled(ctx context.Context, ids []string) (int, error) {
	after, err := b.broker.Results.Load(ctx, ids...)
	if err != nil {
		return 0, err
	}
	var ended []stem.Status
	for _, s := range after {
		if s != nil && s.State == stem.Cancelled {
			ended = append(ended, *s)
		}
	}
	return len(ended), b.copyEnds(ctx, ended)
}

func (b *composedBroker) copyEnds(ctx context.Context, ended []stem.Status) error {
	var writes []stem.StatusWrite
	var tallies []stem.Tally
	for i := range ended {
		writes = append(writes, stem.StatusWrite{Status: ended[i]})
		if tally, ok := EndTally(&ended[i]); ok {
			tallies = append(tallies, tally)
		}
	}
	if len(writes) == 0 {
		return nil
	}
	if err := b.results.Results.Save(ctx, writes...); err != nil {
		return err
	}
	return b.count(ctx, tallies)
}

// mendPurges finishes purges whose process has died.
func (b *composedBroker) mendPurges(ctx context.Context) error {
	if !b.apart {
		return nil
	}
	part := purgePart
	page, err := b.records.Records.List(ctx, stem.RecordQuery{Kind: kindPurge, Part: &part, Limit: pageMax})
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range page.Items {
		err := b.mendPurge(ctx, r.ID)
		if err == nil && time.Since(r.Updated) > purgeLasts {
			err = b.forgetPurge(ctx, r.RecordRef, r.Version)
		}
		errs = append(errs, err)
	}
	return Joined(errs...)
}

// ofQueue is the optional capability of a broker's Results that are in several places.
type ofQueue interface {
	Of(queue string) (stem.Results, error)
}

// mendPurge copies and counts all tasks of a queue that are known as cancelled; those that are done already change nothing.
func (b *composedBroker) mendPurge(ctx context.Context, queue string) error {
	results := b.broker.Results
	if in, ok := results.(ofQueue); ok {
		var err error
		if results, err = in.Of(queue); err != nil {
			return err
		}
	}
	for q := (stem.StatusQuery{State: stem.Cancelled, Queue: queue, Limit: pageMax}); ; {
		page, err := results.List(ctx, q)
		if err != nil {
			return err
		}
		if err := b.copyEnds(ctx, page.Items); err != nil {
			return err
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}
