package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
)

// Lease is one claim of a run. Whatever its holder writes is refused with stem.ErrLeaseLost once the run was claimed again, also
// by the same owner, or the claim was given up. A lease that has merely expired still holds. The Lease of a run that nobody has
// claimed has only a RunID.
type Lease struct {
	RunID string
	Owner string
	Epoch int64 // rises with every claim of the run
}

// Claim takes a run that is running for d (≤ 0: stem.DefaultLease). ok is false when it is suspended or has ended, and when another owner has it. The same owner
// may claim it again, which ends its earlier claim.
func (s *Store) Claim(ctx context.Context, id, owner string, d time.Duration) (lease Lease, ok bool, err error) {
	if err := stem.CheckName("owner", owner); err != nil {
		return Lease{}, false, fmt.Errorf("claim workflow run %s: %w", id, err)
	}
	free := errors.New("not free")
	_, err = s.change(ctx, "claim", id, alive(func(doc *document) ([]stem.RecordWrite, error) {
		if doc.Status != Running || doc.lease != nil && string(doc.lease.Body) != owner {
			return nil, free
		}
		doc.Owner, doc.Epoch = owner, int64(stem.NextEpoch(stem.Epoch(doc.Epoch), s.now()))
		lease = Lease{id, owner, doc.Epoch}
		return []stem.RecordWrite{doc.leaseWrite(d)}, nil
	}))
	if errors.Is(err, free) || errors.Is(err, ErrEnded) {
		return Lease{}, false, nil
	}
	return lease, err == nil, err
}

// leaseWrite lets the lease of the run's owner end length from now. It conflicts when another claim came first.
func (d *document) leaseWrite(length time.Duration) stem.RecordWrite {
	if length <= 0 {
		length = stem.DefaultLease
	}
	w := put(d.ID, leaseID, []byte(d.Owner))
	w.TTL, w.Op = length, stem.CreateRecord
	if d.lease != nil {
		w.Op, w.IfVersion = stem.ReplaceRecord, d.lease.Version
	}
	return w
}

// Renew lets a claim end d from now (≤ 0: stem.DefaultLease).
func (s *Store) Renew(ctx context.Context, l Lease, d time.Duration) error {
	_, err := s.change(ctx, "renew the claim of", l.RunID, l.fenced(func(doc *document) ([]stem.RecordWrite, error) {
		return []stem.RecordWrite{doc.leaseWrite(d)}, nil
	}))
	return err
}

// Release gives a claim up.
func (s *Store) Release(ctx context.Context, l Lease) error {
	_, err := s.change(ctx, "release", l.RunID, l.fenced(func(doc *document) ([]stem.RecordWrite, error) {
		return doc.release(), nil
	}))
	return err
}

func (d *document) release() []stem.RecordWrite {
	d.Owner = ""
	return []stem.RecordWrite{remove(d.ID, leaseID)}
}

// fenced is f for the holder of l alone.
func (l Lease) fenced(f decide) decide {
	return alive(func(d *document) ([]stem.RecordWrite, error) {
		if d.Owner != l.Owner || d.Owner != "" && d.Epoch != l.Epoch || d.Owner == "" && l.Epoch != 0 {
			return nil, stem.ErrLeaseLost
		}
		return f(d)
	})
}

// Runnable returns up to limit runs that are running and that nobody holds: their message may have been lost. limit ≤ 0: 100.
func (s *Store) Runnable(ctx context.Context, limit int) ([]string, error) {
	if limit <= 0 {
		limit = 100
	}
	var out []string
	for q := (Query{Status: Running, Limit: 1000}); ; {
		page, err := s.List(ctx, q)
		if err != nil {
			return nil, err
		}
		refs := make([]stem.RecordRef, len(page.Items))
		for i, r := range page.Items {
			refs[i] = ref(r.ID, leaseID)
		}
		leases, err := s.records.Load(ctx, refs...)
		if err != nil {
			return nil, fmt.Errorf("list runnable workflow runs: %w", err)
		}
		for i, lease := range leases {
			if lease == nil {
				out = append(out, page.Items[i].ID)
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" || len(out) >= limit {
			return slices.Clip(out[:min(limit, len(out))]), nil
		}
	}
}
