package workflow

import (
	"context"
	"fmt"
	"slices"

	"github.com/stemd/stem"
)

// Rewind drops the checkpoints of a step, all its iterations, and those of every later one, and takes the run from whoever holds it.
// A run that has ended lives again. It is suspended at the step: whoever rewinds it resumes it, or Due returns it after WakeLease.
func (s *Store) Rewind(ctx context.Context, id, step string) error {
	_, err := s.change(ctx, "rewind", id, func(d *document) ([]stem.RecordWrite, error) {
		steps, err := s.steps(ctx, id)
		if err != nil {
			return nil, err
		}
		first := slices.IndexFunc(steps, func(c Step) bool { return BaseName(c.Name) == step })
		if first < 0 {
			return nil, fmt.Errorf("it has no checkpoint of step %s: %w", step, stem.ErrNotFound)
		}
		var writes []stem.RecordWrite
		if d.Status.Terminal() {
			if writes, err = s.rewrite(ctx, d, steps[:first]); err != nil {
				return nil, err
			}
			d.LastError, d.Cancelled = nil, nil
			writes = append(writes, remove(id, resultID))
		}
		d.Bases, d.Position = nil, steps[first].Position
		for _, kept := range steps[:first] {
			d.completed(kept.Name)
		}
		for _, dropped := range steps[first:] {
			writes = append(writes, remove(id, stepPrefix+dropped.Name))
		}
		now, checkpoint := s.now(), step
		if steps[first].Name != step {
			checkpoint += "#0"
		}
		return append(writes, d.suspend(Suspension{Step: step, Checkpoint: checkpoint, SuspendedAt: now}, now.Add(WakeLease))...), nil
	})
	return err
}

// completed counts a checkpoint's step, once for all its iterations.
func (d *document) completed(checkpoint string) {
	if base := BaseName(checkpoint); !slices.Contains(d.Bases, base) {
		d.Bases = append(d.Bases, base)
	}
}
