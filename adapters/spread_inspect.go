package adapters

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/stemd/stem"
)

// everywhere does something in all lanes there are.
func (b *spreadBroker) everywhere(ctx context.Context, do func(l *lane) error) error {
	lanes, err := b.all(ctx)
	if err != nil {
		return err
	}
	return each(lanes, func(_ int, l *lane) error { return do(l) })
}

// Queues implements stem.Inspector.
func (b *spreadBroker) Queues(ctx context.Context) ([]stem.QueueCounts, error) {
	var mu sync.Mutex
	var out []stem.QueueCounts
	lanes, err := b.all(ctx)
	if err != nil {
		return nil, fmt.Errorf("queues: %w", err)
	}
	soon, cancel := context.WithTimeout(ctx, apartPatience) // from here on: the directory may have taken its time
	defer cancel()
	err = each(lanes, func(_ int, l *lane) error {
		brief, cancel := context.WithTimeout(soon, lookPatience) // else those that do not answer leave no time for others
		defer cancel()
		counts, err := l.Queues(brief)
		mu.Lock()
		defer mu.Unlock()
		out = append(out, counts...)
		return err
	})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("queues: %w", ctx.Err())
	}
	slices.SortFunc(out, func(x, y stem.QueueCounts) int { return cmp.Compare(x.Queue, y.Queue) })
	if err != nil {
		return out, fmt.Errorf("queues: %w", unreachable(err))
	}
	return out, nil
}

// Browse implements stem.Inspector.
func (b *spreadBroker) Browse(ctx context.Context, q stem.BrowseQuery) (stem.BrowsePage, error) {
	l, err := b.lane(b.laneOf(q.Queue))
	if err != nil {
		return stem.BrowsePage{}, fmt.Errorf("browse: %w", err)
	}
	return l.Browse(ctx, q)
}

// Purge implements stem.Inspector. The unique keys of what is purged count for nothing from then on.
func (b *spreadBroker) Purge(ctx context.Context, queue string) (int, error) {
	l, err := b.lane(b.laneOf(queue))
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	return l.Purge(ctx, queue)
}

// ReleaseOwner implements stem.Takeover.
func (b *spreadBroker) ReleaseOwner(ctx context.Context, owner string) (int, error) {
	var mu sync.Mutex
	total := 0
	err := b.everywhere(ctx, func(l *lane) error {
		n, err := l.ReleaseOwner(ctx, owner)
		mu.Lock()
		defer mu.Unlock()
		total += n
		return err
	})
	if err != nil {
		return total, fmt.Errorf("release owner: %w", unreachable(err))
	}
	return total, nil
}

// Take implements stem.Limiter.
func (b *spreadBroker) Take(ctx context.Context, asks ...stem.RateAsk) ([]stem.RateAnswer, error) {
	if b.Limiter == nil {
		return nil, fmt.Errorf("take: %w", stem.ErrUnsupported)
	}
	return b.Limiter.Take(ctx, asks...)
}

// Maintain implements stem.Maintainer. What goes from the directory is nobody's, so it is not counted.
func (b *spreadBroker) Maintain(ctx context.Context) (stem.Maintained, error) {
	var mu sync.Mutex
	var sum stem.Maintained
	err := b.everywhere(ctx, func(l *lane) error {
		one, err := l.Maintain(ctx)
		mu.Lock()
		defer mu.Unlock()
		sum = sum.Beside(one)
		return err
	})
	errs := []error{err} // what can not be reached keeps nothing else from being done
	for _, step := range []func(context.Context) (bool, error){b.enlist, b.sweep, b.mend, b.tidy} {
		more, err := step(ctx)
		sum.More, errs = sum.More || more, append(errs, err)
	}
	if err := Joined(errs...); err != nil {
		return sum, fmt.Errorf("maintain: %w", err)
	}
	return sum, nil
}

// tidy has the directory delete what is past its time.
func (b *spreadBroker) tidy(ctx context.Context) (more bool, err error) {
	m, ok := b.Directory.Broker.(stem.Maintainer)
	if !ok {
		return false, nil
	}
	expired, err := m.Maintain(ctx)
	return expired.More, err
}

// sweep deletes the entries of chosen ids that their lanes have forgotten; those that they still know are looked at again later.
func (b *spreadBroker) sweep(ctx context.Context) (more bool, err error) {
	entries, more, err := b.directory.due(ctx, kindID, b.now())
	if err != nil {
		return false, err
	}
	var lanes byLane
	for i, e := range entries {
		lanes.add(e.Lane, i)
	}
	writes := make([]stem.RecordWrite, len(entries))
	err = b.inLanes(&lanes, func(l *lane, at []int) error {
		ids := make([]string, len(at))
		for n, i := range at {
			ids[n] = entries[i].record.ID
		}
		known, err := l.Knows(ctx, ids...)
		for n, i := range at {
			if err != nil {
				break
			}
			w := &writes[i]
			*w = stem.RecordWrite{Record: *entries[i].record, Op: stem.DeleteRecord, IfVersion: entries[i].record.Version}
			if known[n] {
				w.Op, w.Record.Due = stem.ReplaceRecord, b.now().Add(max(b.Options.Dedupe, graceAge))
			}
		}
		return err
	})
	if err != nil {
		return false, err
	}
	writes = slices.DeleteFunc(writes, func(w stem.RecordWrite) bool { return w.IfVersion == 0 })
	if len(writes) > 0 {
		_, _, err = b.directory.save(ctx, writes)
	}
	return more, err
}
