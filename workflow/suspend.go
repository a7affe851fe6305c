package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stemd/stem"
)

// WakeLease is how long whoever was told to wake a run has for it: a run that Due or Deliver returned and nobody resumed is
// returned by Due again after it.
const WakeLease = 30 * time.Second

// batch is how many runs Due, Deliver and Waiting return by default, and at most.
const batch = 256

// Suspend lets a run wait for a time, for an event, or for whichever comes first: at.Step with Iteration and Checkpoint, Topic, ResumeAt
// and Data are used. The wait begins and the claim ends in one write, so no event and no resumption falls in between.
func (s *Store) Suspend(ctx context.Context, l Lease, at Suspension) error {
	if at.Topic == "" && at.ResumeAt.IsZero() {
		return fmt.Errorf("suspend workflow run %s: it would wait for nothing: give a topic or a time", l.RunID)
	}
	if at.Topic != "" {
		if err := stem.CheckName("topic", at.Topic); err != nil {
			return fmt.Errorf("suspend workflow run %s: %w", l.RunID, err)
		}
	}
	at.SuspendedAt, at.Payload, at.DeliveredAt = s.now(), nil, time.Time{}
	_, err := s.change(ctx, "suspend", l.RunID, l.fenced(func(d *document) ([]stem.RecordWrite, error) {
		due := at.ResumeAt
		if due.IsZero() || due.After(never) {
			due = never
		}
		return d.suspend(at, due), nil
	}))
	return err
}

// suspend lets the run wait until due, or for what the suspension says.
func (d *document) suspend(at Suspension, due time.Time) []stem.RecordWrite {
	d.Status, d.Suspension = Suspended, &at
	return append(d.release(), wake(d.ID, at.Topic, due))
}

func wake(run, topic string, due time.Time) stem.RecordWrite {
	w := put(run, wakeID, nil)
	w.Record.Due, w.Record.Tags = due, []string{wakeTag}
	if topic != "" {
		w.Record.Tags = append(w.Record.Tags, topicTag(topic))
	}
	return w
}

// Resume lets a suspended run go on and returns it. payload is what it waited for; what an event has delivered stays.
// A run that is running stays so.
func (s *Store) Resume(ctx context.Context, id string, payload []byte) (*Run, error) {
	return s.change(ctx, "resume", id, alive(func(d *document) ([]stem.RecordWrite, error) {
		if at := d.Suspension; d.Status == Suspended {
			if at.DeliveredAt.IsZero() {
				at.Payload = payload
			}
			at.ResumeAt = time.Time{}
		}
		d.Status = Running
		return []stem.RecordWrite{remove(id, wakeID)}, nil
	}))
}

// Due returns up to limit suspended runs whose time has come, earliest first. Each is returned once, to one caller, who resumes
// it within WakeLease.
func (s *Store) Due(ctx context.Context, limit int) ([]string, error) {
	var out []string
	for q := (stem.RecordQuery{Kind: Kind, Tag: wakeTag, DueBefore: s.now(), Limit: bounded(limit)}); ; {
		page, err := s.records.List(ctx, q)
		if err != nil {
			return out, fmt.Errorf("find workflow runs that are due: %w", err)
		}
		for _, r := range page.Items {
			r.Due = s.now().Add(WakeLease)
			_, err := s.records.Save(ctx, stem.RecordWrite{Record: r, Op: stem.ReplaceRecord, IfVersion: r.Version})
			if errors.Is(err, stem.ErrConflict) {
				continue // somebody else has it
			}
			if err != nil {
				return out, fmt.Errorf("take workflow run %s that is due: %w", r.Part, err)
			}
			if out = append(out, r.Part); len(out) == bounded(limit) {
				return out, nil
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out, nil
		}
	}
}

func bounded(limit int) int {
	if limit <= 0 {
		return batch
	}
	return min(limit, batch)
}

// Waiting is a page of the runs that wait for an event of a topic, with their Suspension, those with a deadline first.
func (s *Store) Waiting(ctx context.Context, topic string, limit int, cursor string) (Page, error) {
	page, err := s.waiting(ctx, topic, limit, cursor)
	if err != nil {
		return Page{}, fmt.Errorf("find workflow runs that wait for %s: %w", topic, err)
	}
	return page, nil
}

func (s *Store) waiting(ctx context.Context, topic string, limit int, cursor string) (Page, error) {
	found, err := s.records.List(ctx, stem.RecordQuery{Kind: Kind, Tag: topicTag(topic), DueBefore: never, Limit: bounded(limit), Cursor: cursor})
	if err != nil || len(found.Items) == 0 {
		return Page{}, err
	}
	refs := make([]stem.RecordRef, len(found.Items))
	for i, r := range found.Items {
		refs[i] = ref(r.Part, runID)
	}
	runs, err := s.records.Load(ctx, refs...)
	if err != nil {
		return Page{}, err
	}
	page := Page{Next: found.Next}
	for _, r := range runs {
		if r == nil {
			continue
		}
		d, err := decode(r, nil)
		if err != nil {
			return Page{}, err
		}
		if d.waitsFor(topic) {
			page.Items = append(page.Items, d.Run)
		}
	}
	return page, nil
}

func (d *document) waitsFor(topic string) bool {
	return d.Status == Suspended && d.Suspension.Topic == topic && d.Suspension.DeliveredAt.IsZero()
}

// Deliver gives an event to up to limit runs that wait for it, each once, and returns them; call it until it returns none. The
// caller resumes them; what it does not resume Due returns after WakeLease.
func (s *Store) Deliver(ctx context.Context, topic string, payload []byte, limit int) ([]Run, error) {
	var out []Run
	for cursor := ""; ; {
		page, err := s.Waiting(ctx, topic, limit, cursor)
		if err != nil {
			return nil, err
		}
		for _, waiting := range page.Items {
			run, err := s.deliver(ctx, waiting.ID, topic, payload)
			if err != nil {
				return out, err
			}
			if run != nil {
				out = append(out, *run)
			}
		}
		if cursor = page.Next; cursor == "" || len(out) > 0 {
			return out, nil
		}
	}
}

// deliver gives an event to one run; nil: it does not wait for it any more.
func (s *Store) deliver(ctx context.Context, id, topic string, payload []byte) (*Run, error) {
	gone := errors.New("it does not wait")
	run, err := s.change(ctx, "deliver an event to", id, alive(func(d *document) ([]stem.RecordWrite, error) {
		if !d.waitsFor(topic) {
			return nil, gone
		}
		d.Suspension.Payload, d.Suspension.DeliveredAt = payload, s.now()
		return []stem.RecordWrite{wake(d.ID, "", s.now().Add(WakeLease))}, nil
	}))
	if errors.Is(err, gone) || errors.Is(err, ErrEnded) || errors.Is(err, stem.ErrNotFound) {
		return nil, nil
	}
	return run, err
}
