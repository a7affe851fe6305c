package workflow

import (
	"context"
	"fmt"

	"github.com/stemd/stem"
)

// SaveStep records that a step is done, and its value, which may be empty. A checkpoint that exists keeps its place.
func (s *Store) SaveStep(ctx context.Context, l Lease, name string, value []byte) error {
	if err := stem.CheckName("step", name); err != nil {
		return fmt.Errorf("checkpoint workflow run %s: %w", l.RunID, err)
	}
	_, err := s.change(ctx, "checkpoint", l.RunID, l.fenced(func(d *document) ([]stem.RecordWrite, error) {
		old, known, err := s.step(ctx, l.RunID, name)
		if err != nil {
			return nil, err
		}
		step := Step{Name: name, Position: d.Position, CompletedAt: s.now(), Value: value}
		if known {
			step.Position = old.Position
		} else {
			d.Position++
		}
		d.completed(name)
		w, err := encodeStep(l.RunID, step)
		return []stem.RecordWrite{w}, err
	}))
	return err
}

// Step is one checkpoint of a run. ok is false when it is not there.
func (s *Store) Step(ctx context.Context, id, name string) (step Step, ok bool, err error) {
	step, ok, err = s.step(ctx, id, name)
	if err != nil {
		err = fmt.Errorf("load step %s of workflow run %s: %w", name, id, err)
	}
	return step, ok, err
}

func (s *Store) step(ctx context.Context, id, name string) (Step, bool, error) {
	found, err := s.records.Load(ctx, ref(id, stepPrefix+name))
	if err != nil || found[0] == nil {
		return Step{}, false, err
	}
	step, err := decodeStep(found[0].Body)
	return step, err == nil, err
}

// Complete ends a run with its result.
func (s *Store) Complete(ctx context.Context, l Lease, result []byte) error {
	_, err := s.change(ctx, "complete", l.RunID, l.fenced(func(d *document) ([]stem.RecordWrite, error) {
		return s.end(ctx, d, Completed, put(d.ID, resultID, result))
	}))
	return err
}

// Fail records an error. Unless it is terminal the run goes on and can be claimed again by whoever holds it.
func (s *Store) Fail(ctx context.Context, l Lease, failure Failure, terminal bool) error {
	_, err := s.change(ctx, "fail", l.RunID, l.fenced(func(d *document) ([]stem.RecordWrite, error) {
		d.LastError = &failure
		if !terminal {
			return nil, nil
		}
		return s.end(ctx, d, Failed)
	}))
	return err
}

// Cancel ends a run, whoever holds it: its holder's next write is refused with ErrEnded.
func (s *Store) Cancel(ctx context.Context, id, reason string) error {
	_, err := s.change(ctx, "cancel", id, alive(func(d *document) ([]stem.RecordWrite, error) {
		d.Cancelled = &Cancellation{reason, s.now()}
		return s.end(ctx, d, Cancelled)
	}))
	return err
}

// end lets nothing wait for the run or hold it, and all of it live as long as the run is to be kept.
func (s *Store) end(ctx context.Context, d *document, status Status, more ...stem.RecordWrite) ([]stem.RecordWrite, error) {
	d.Status, d.Suspension = status, nil
	writes := append(append(d.release(), remove(d.ID, wakeID)), more...)
	if d.TTL <= 0 {
		return writes, nil
	}
	steps, err := s.steps(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	kept, err := s.rewrite(ctx, d, steps)
	writes = append(writes, kept...)
	for i := range writes {
		writes[i].TTL = d.TTL
	}
	return writes, err
}

// rewrite writes params and steps of a run as they are, for another life.
func (s *Store) rewrite(ctx context.Context, d *document, steps []Step) ([]stem.RecordWrite, error) {
	params, err := s.records.Load(ctx, ref(d.ID, paramsID))
	if err != nil {
		return nil, err
	}
	var writes []stem.RecordWrite
	if params[0] != nil {
		writes = append(writes, put(d.ID, paramsID, params[0].Body))
	}
	for _, step := range steps {
		w, err := encodeStep(d.ID, step)
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	return writes, nil
}
