package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// Settle implements stem.Broker. All settlements share a transaction; each is all or nothing, because everything that can refuse
// it is looked at before its first write.
func (b *broker) Settle(ctx context.Context, settlements ...stem.Settlement) ([]error, error) {
	errs := make([]error, len(settlements))
	err := b.writeFor(ctx, "settle", concerns(settlements), func(tx *tx) error {
		for i := range settlements {
			refused, err := b.settle(tx, &settlements[i])
			if err != nil {
				return err
			}
			if errs[i] = nil; refused != nil {
				errs[i] = fmt.Errorf("sqlite: settle: %w", refused)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return errs, nil
}

// concerns says who waits for what settlements write: the end of a task is of no use to who claims.
func concerns(settlements []stem.Settlement) news {
	for i := range settlements {
		s := &settlements[i]
		if s.Kind != stem.Done && s.Kind != stem.Dead && s.Kind != stem.AckEarly || s.Tally != nil || len(s.Then)+len(s.Save) > 0 {
			return ofAll
		}
	}
	return ofResults
}

// settle carries out one settlement, or says why it is refused; err is the store's own failure.
func (b *broker) settle(tx *tx, s *stem.Settlement) (refused, err error) {
	if err := adapters.CheckSettlement(*s); err != nil {
		if refused, failed := b.refuses(tx, s); refused != nil || failed != nil {
			return refused, failed
		}
		return err, nil
	}
	if len(s.Save) > 0 {
		if refused, err := b.refuses(tx, s); refused != nil || err != nil {
			return refused, err
		}
		if conflict, err := b.checkRecords(tx, s.Save); err != nil || conflict != nil {
			return conflict, err
		}
	}
	done, err := b.end(tx, s)
	if err != nil {
		return nil, err
	}
	if !done {
		return b.refuses(tx, s)
	}
	if len(s.Save) > 0 {
		if _, err := b.applyRecords(tx, s.Save); err != nil {
			return nil, err
		}
	}
	if s.Result != nil {
		status := s.Result.Status
		status.ID, status.Epoch = s.Receipt.ID, s.Receipt.Epoch
		if err := b.save(tx, &status, s.Result.TTL); err != nil {
			return nil, err
		}
	}
	if s.Tally != nil {
		tally := *s.Tally
		tally.TaskID, tally.Epoch = s.Receipt.ID, s.Receipt.Epoch
		if err := b.count(tx, tally); err != nil {
			return nil, err
		}
	}
	for i := range s.Then {
		if _, _, err := b.publish(tx, &s.Then[i]); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

const isClaim = " WHERE seq = ? AND epoch = ? AND owner = ? AND ns = ?"

// end does what the settlement's kind says to the claim; false: it is not the current one, or does not allow the kind.
func (b *broker) end(tx *tx, s *stem.Settlement) (bool, error) {
	r := s.Receipt
	p, ok := parsePlace(r.Position)
	if !ok {
		return false, nil
	}
	claim := []any{p.seq, int64(r.Epoch), r.Owner, b.ns}
	var n int64
	var err error
	switch s.Kind {
	case stem.Done:
		n, err = tx.change("DELETE FROM tasks"+isClaim, claim...)
		if n == 1 {
			tx.end(b.ns, r.Epoch)
			err = b.gone(tx, r.ID, p)
		}
	case stem.Dead:
		return b.bury(tx, s, claim, p)
	case stem.AckEarly:
		n, err = tx.change("UPDATE tasks SET acked = 1"+isClaim, claim...)
	case stem.Retry, stem.Hold:
		at := us(s.At)
		n, err = b.giveBack(tx, s, waitingState(at, tx.us), at, claim)
		if n == 1 && p.unique {
			err = b.renew(tx, p.seq)
		}
	case stem.Release:
		n, err = b.giveBack(tx, s, ready, nil, claim)
	case stem.Park, stem.Move:
		return b.move(tx, s, claim)
	}
	return n == 1, err
}

// giveBack ends a claim and puts the task back into its place; due is a time of its own, or nil: it keeps the one it had.
func (b *broker) giveBack(tx *tx, s *stem.Settlement, state int, due any, claim []any) (int64, error) {
	if s.State == nil {
		args := append([]any{state, due, tx.us}, claim...)
		return tx.change("UPDATE tasks SET state = ?, due = coalesce(?, due), owner = NULL, updated = ?"+isClaim+" AND acked = 0", args...)
	}
	extra, err := stem.EncodeState(*s.State)
	if err != nil {
		return 0, err
	}
	args := append([]any{state, due, tx.us, extra, s.State.Attempt}, claim...)
	return tx.change("UPDATE tasks SET state = ?, due = coalesce(?, due), owner = NULL, updated = ?, extra = ?, attempt = ?"+isClaim+" AND acked = 0", args...)
}

// move ends a claim and puts the task behind what is in another queue.
func (b *broker) move(tx *tx, s *stem.Settlement, claim []any) (bool, error) {
	r, ok, err := claimed(tx, "SELECT "+columns+" FROM tasks"+isClaim+" AND acked = 0", claim)
	if !ok || err != nil {
		return false, err
	}
	if r.msg.Queue = s.Queue; s.Kind == stem.Park {
		r.msg.Queue = stem.ParkedPrefix + r.msg.Name
	}
	r.msg.State = adapters.Settled(r.msg.State, s.State)
	if _, err := tx.change("DELETE FROM tasks WHERE seq = ?", r.seq); err != nil {
		return false, err
	}
	return b.insert(tx, &r.msg)
}

func claimed(tx *tx, query string, claim []any) (r row, ok bool, err error) {
	err = r.scan(tx.row(query, claim...))
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	return r, err == nil, err
}

// refuses says why the claim can not end as a settlement asks: it is not the current one, or was acknowledged early.
func (b *broker) refuses(tx *tx, s *stem.Settlement) (refused, err error) {
	r := s.Receipt
	p, ok := parsePlace(r.Position)
	if !ok {
		return stem.ErrLeaseLost, nil
	}
	var acked bool
	err = tx.row("SELECT acked FROM tasks"+isClaim, p.seq, int64(r.Epoch), r.Owner, b.ns).Scan(&acked)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return stem.ErrLeaseLost, nil
	case err != nil:
		return nil, err
	case acked && s.Kind != stem.Done && s.Kind != stem.Dead && s.Kind != stem.AckEarly:
		return adapters.ErrAckedEarly, nil
	}
	return nil, nil
}

// gone follows the end of a task: a chosen id is remembered, a unique key is given up.
func (b *broker) gone(tx *tx, id string, p place) error {
	if p.unique {
		if err := b.unreserve(tx, id); err != nil {
			return err
		}
	}
	if p.chosen {
		return b.remember(tx, id)
	}
	return nil
}

// remember keeps a chosen id after its end.
func (b *broker) remember(tx *tx, id string) error {
	if b.opts.Dedupe <= 0 {
		return nil
	}
	_, err := tx.change("INSERT OR REPLACE INTO seen (ns, id, until) VALUES (?, ?, ?)", b.ns, id, tx.us+b.opts.Dedupe.Microseconds())
	return err
}
