package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
)

// Store keeps runs in the records of a store. Its zero value can not be used; it is safe for concurrent use, by any number of
// processes. A run that is not known gives stem.ErrNotFound.
type Store struct {
	records stem.Records
	now     func() time.Time
}

// NewStore uses the records of a store. now is the clock of every time decision but the leases', which is the records' own; nil:
// the system's.
func NewStore(records stem.Records, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{records, now}
}

// Create starts a run: it is running, has no steps and nobody has claimed it. Only ID, Workflow, ParentID, Params, Runtime, Policy
// and TTL of r are used; an empty ID is replaced by a random one. A run of that id gives stem.ErrConflict and is not touched.
func (s *Store) Create(ctx context.Context, r Run) (*Run, error) {
	if r.ID == "" {
		r.ID = stem.NewID()
	}
	if err := errors.Join(stem.CheckName("run id", r.ID), stem.CheckName("workflow", r.Workflow)); err != nil {
		return nil, fmt.Errorf("create workflow run: %w", err)
	}
	now := s.now()
	d := &document{Run: Run{
		ID: r.ID, Workflow: r.Workflow, ParentID: r.ParentID, Status: Running, Params: r.Params, Runtime: r.Runtime, Policy: r.Policy,
		TTL: r.TTL, CreatedAt: now, UpdatedAt: now,
	}}
	w, err := d.write(stem.CreateRecord)
	if err != nil {
		return nil, fmt.Errorf("create workflow run %s: %w", r.ID, err)
	}
	_, err = s.records.Save(ctx, w, put(r.ID, paramsID, r.Params))
	if errors.Is(err, stem.ErrConflict) {
		return nil, fmt.Errorf("create workflow run %s: there is a run of this id: %w", r.ID, stem.ErrConflict)
	}
	if err != nil {
		return nil, fmt.Errorf("create workflow run %s: %w", r.ID, err)
	}
	return &d.Run, nil
}

// Load is a run with all that is known of it.
func (s *Store) Load(ctx context.Context, id string) (*Run, error) {
	found, err := s.records.Load(ctx, ref(id, runID), ref(id, leaseID), ref(id, paramsID), ref(id, resultID))
	if err != nil {
		return nil, fmt.Errorf("load workflow run %s: %w", id, err)
	}
	d, err := decode(found[0], found[1])
	if err != nil {
		return nil, fmt.Errorf("load workflow run %s: %w", id, err)
	}
	if found[2] != nil {
		d.Params = found[2].Body
	}
	if found[3] != nil {
		d.Result = found[3].Body
	}
	return &d.Run, nil
}

// decide changes a run and says what else is to be written with it.
type decide func(*document) ([]stem.RecordWrite, error)

// alive is f for a run that has not ended.
func alive(f decide) decide {
	return func(d *document) ([]stem.RecordWrite, error) {
		if d.Status.Terminal() {
			return nil, fmt.Errorf("it is %s: %w", d.Status, ErrEnded)
		}
		return f(d)
	}
}

// change writes what f decides about a run, all or nothing. When somebody else changed the run meanwhile it starts over, so f
// decides anew about what is true now. what names it in errors.
func (s *Store) change(ctx context.Context, what, id string, f decide) (*Run, error) {
	for {
		d, err := s.tryChange(ctx, id, f)
		switch {
		case err == nil:
			return &d.Run, nil
		case !errors.Is(err, stem.ErrConflict):
			return nil, fmt.Errorf("%s workflow run %s: %w", what, id, err)
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%s workflow run %s: %w", what, id, ctx.Err())
		}
	}
}

func (s *Store) tryChange(ctx context.Context, id string, f decide) (*document, error) {
	found, err := s.records.Load(ctx, ref(id, runID), ref(id, leaseID))
	if err != nil {
		return nil, err
	}
	d, err := decode(found[0], found[1])
	if err != nil {
		return nil, err
	}
	more, err := f(d)
	if err != nil {
		return nil, err
	}
	d.UpdatedAt = s.now()
	w, err := d.write(stem.ReplaceRecord)
	if err != nil {
		return nil, err
	}
	if d.Status.Terminal() && d.TTL > 0 {
		w.TTL = d.TTL
	}
	// The run goes first: when its version is not the one that f saw nothing of the rest counts.
	_, err = s.records.Save(ctx, append([]stem.RecordWrite{w}, more...)...)
	return d, err
}

// Query selects runs. Zero fields do not filter.
type Query struct {
	Workflow string
	Status   Status
	Limit    int // ≤ 0: 50; at most 1000
	Cursor   string
}

// Page is one page of List.
type Page struct {
	Items []Run
	Next  string // empty: last page
}

// List returns runs, newest first, without their params, results and leases.
func (s *Store) List(ctx context.Context, q Query) (Page, error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	found, err := s.records.List(ctx, stem.RecordQuery{Kind: Kind, Tag: runTag(q.Workflow, q.Status), DueBefore: horizon, Limit: q.Limit, Cursor: q.Cursor})
	if err != nil {
		return Page{}, fmt.Errorf("list workflow runs: %w", err)
	}
	page := Page{Next: found.Next}
	for i := range found.Items {
		d, err := decode(&found.Items[i], nil)
		if err != nil {
			return Page{}, fmt.Errorf("list workflow runs: %w", err)
		}
		page.Items = append(page.Items, d.Run)
	}
	return page, nil
}

// Steps returns the checkpoints of a run in the order of execution.
func (s *Store) Steps(ctx context.Context, id string) ([]Step, error) {
	steps, err := s.steps(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("list steps of workflow run %s: %w", id, err)
	}
	return steps, nil
}

// stepPage is how many checkpoints, each up to stem.MaxRecord, are asked for at once.
const stepPage = 100

func (s *Store) steps(ctx context.Context, id string) ([]Step, error) {
	var out []Step
	for q := (stem.RecordQuery{Kind: Kind, Part: &id, Tag: stepTag, Limit: stepPage}); ; {
		page, err := s.records.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Items {
			step, err := decodeStep(r.Body)
			if err != nil {
				return nil, err
			}
			out = append(out, step)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			slices.SortFunc(out, func(a, b Step) int { return a.Position - b.Position })
			return out, nil
		}
	}
}
