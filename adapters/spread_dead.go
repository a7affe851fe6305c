package adapters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
)

var errTaken = errors.New("its id is just being taken by a publisher")

// letter is a dead letter and its lane.
type letter struct {
	stem.DeadLetter
	lane *lane
}

// drawer reads the matching letters of a lane, newest first, a page at a time.
type drawer struct {
	lane  *lane
	query stem.DeadLetterQuery
	page  []stem.DeadLetter
	last  bool
	err   error // why there are no more
}

// next is the newest letter that was not taken, nil when there is none.
func (d *drawer) next(ctx context.Context) *stem.DeadLetter {
	for len(d.page) == 0 && !d.last {
		p, err := d.lane.DeadLetters(ctx, d.query)
		for i := range p.Items {
			if failed := fromLane(&p.Items[i].Message); failed != nil && err == nil {
				err = fmt.Errorf("%w: task %s: %w", stem.ErrCorrupt, p.Items[i].Message.ID, failed)
			}
		}
		if err != nil {
			d.err, d.last = err, true
			break
		}
		d.page, d.last = p.Items, !p.More
		d.query.Offset += len(p.Items)
	}
	if len(d.page) == 0 {
		return nil
	}
	return &d.page[0]
}

// unread is why there are drawers that were not read to their end: ErrUnreachable, unless something else is wrong too.
func unread(ctx context.Context, drawers []*drawer) error {
	errs := make([]error, len(drawers))
	for i, d := range drawers {
		errs[i] = d.err
	}
	err := Joined(errs...)
	if ctx.Err() != nil || errors.Is(err, stem.ErrCorrupt) {
		return err
	}
	return unreachable(err)
}

// drawers are those of the lanes that a query is about, each with its first page read.
func (b *spreadBroker) drawers(ctx context.Context, q stem.DeadLetterQuery, first int) ([]*drawer, error) {
	lanes, err := b.lanesOf(ctx, q.Queue)
	if err != nil {
		return nil, err
	}
	q.Offset, q.Limit = 0, min(max(first, 1), pageMax)
	out := make([]*drawer, len(lanes))
	_ = each(lanes, func(i int, l *lane) error { // each keeps its error
		out[i] = &drawer{lane: l, query: q}
		out[i].next(ctx)
		return nil
	})
	return out, nil
}

// letters finds dead letters of all lanes, newest first, limit of them after the first offset; limit < 0: all. With ErrUnreachable it is
// those of the lanes that answer.
func (b *spreadBroker) letters(ctx context.Context, q stem.DeadLetterQuery, offset, limit int) ([]letter, error) {
	first := pageMax
	if limit >= 0 {
		first = offset + limit
	}
	drawers, err := b.drawers(ctx, q, first)
	if err != nil {
		return nil, err
	}
	var out []letter
	for limit < 0 || len(out) < limit {
		var newest *drawer
		for _, d := range drawers {
			if l := d.next(ctx); l != nil && (newest == nil || l.DeadAt.After(newest.page[0].DeadAt)) {
				newest = d
			}
		}
		if newest == nil {
			break
		}
		if l := newest.page[0]; offset > 0 {
			offset--
		} else {
			out = append(out, letter{l, newest.lane})
		}
		newest.page = newest.page[1:]
	}
	return out, unread(ctx, drawers)
}

// DeadLetters implements stem.Inspector.
func (b *spreadBroker) DeadLetters(ctx context.Context, q stem.DeadLetterQuery) (stem.DeadLetterPage, error) {
	var page stem.DeadLetterPage
	limit := PageLimit(q.Limit)
	found, err := b.letters(ctx, q, q.Offset, limit+1)
	if err != nil {
		err = fmt.Errorf("dead letters: %w", err)
	}
	if err != nil && !errors.Is(err, stem.ErrUnreachable) {
		return page, err
	}
	if page.More = len(found) > limit; page.More {
		found = found[:limit]
	}
	for _, l := range found {
		page.Items = append(page.Items, l.DeadLetter)
	}
	return page, err
}

// PurgeDeadLetters implements stem.Inspector.
func (b *spreadBroker) PurgeDeadLetters(ctx context.Context, q stem.DeadLetterQuery) (int, error) {
	if q.Limit <= 0 && q.Offset <= 0 {
		return b.purgeLetters(ctx, q)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	found, err := b.letters(ctx, q, q.Offset, limit)
	if err != nil {
		return 0, fmt.Errorf("purge dead letters: %w", err)
	}
	byName := map[*lane][]string{}
	for _, l := range found {
		byName[l.lane] = append(byName[l.lane], l.Message.ID)
	}
	total := 0
	for l, ids := range byName {
		n, err := l.PurgeDeadLetters(ctx, stem.DeadLetterQuery{Queue: q.Queue, IDs: ids})
		if total += n; err != nil {
			return total, fmt.Errorf("purge dead letters: %w", err)
		}
	}
	return total, nil
}

// purgeLetters deletes all matching letters, without reading them first.
func (b *spreadBroker) purgeLetters(ctx context.Context, q stem.DeadLetterQuery) (int, error) {
	lanes, err := b.lanesOf(ctx, q.Queue)
	if err != nil {
		return 0, fmt.Errorf("purge dead letters: %w", err)
	}
	counts := make([]int, len(lanes))
	err = each(lanes, func(i int, l *lane) (err error) {
		counts[i], err = l.PurgeDeadLetters(ctx, q)
		return err
	})
	total := 0
	for _, n := range counts {
		total += n
	}
	if err != nil {
		return total, fmt.Errorf("purge dead letters: %w", err)
	}
	return total, nil
}

// lanesOf are the lanes that may have letters of a queue; empty: of any.
func (b *spreadBroker) lanesOf(ctx context.Context, queue string) ([]*lane, error) {
	if queue == "" {
		return b.all(ctx)
	}
	l, err := b.lane(b.laneOf(queue))
	return []*lane{l}, err
}

// forgetLetters deletes the letters that tasks which have just died had in other lanes: each id has one, the latest. died are the claims
// that ended so.
func (b *spreadBroker) forgetLetters(ctx context.Context, died []held) {
	if len(died) == 0 {
		return
	}
	_ = b.everywhere(ctx, func(l *lane) error { // one that stays is shown beside the later one, until it expires
		var ids []string
		var epochs []stem.Epoch
		for _, h := range died {
			if h.lane != l.name {
				ids, epochs = append(ids, h.ID), append(epochs, h.Epoch)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		return l.Outdate(ctx, ids, epochs)
	})
}

// Replay implements stem.Inspector. Each letter takes its id and its key as if it were published, then its lane moves it. The letters
// selected are the newest; those of one lane go back in the order in which they died.
func (b *spreadBroker) Replay(ctx context.Context, r stem.Replay) ([]stem.Replayed, error) {
	found, err := b.letters(ctx, r.DeadLetterQuery, r.Offset, PageLimit(r.Limit))
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	takes := make([]take, len(found))
	err = each(found, func(i int, l letter) (err error) {
		takes[i], err = b.heldID(ctx, l)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	ids, guess := make([]string, len(found)), map[string]string{}
	for i, l := range found {
		ids[i], guess[l.Message.ID] = l.Message.ID, l.lane.name
	}
	tasks, err := b.find(ctx, ids, guess)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	out := make([]stem.Replayed, len(found))
	for i, l := range slices.Backward(found) {
		if out[i].DeadLetter = l.DeadLetter; tasks[i].live() {
			out[i].Err = fmt.Errorf("replay: %w", ErrLive)
			continue
		}
		why, err := b.replay(ctx, l, r, takes[i])
		if err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
		if why != nil {
			out[i].Err = fmt.Errorf("replay: %w", why)
		}
	}
	return out, nil
}

// replay moves one letter back whose task does not live; why says why it stays.
func (b *spreadBroker) replay(ctx context.Context, l letter, r stem.Replay, hold take) (why, err error) {
	m := l.Message
	if m.Unique.Key != "" {
		if why, err = b.keyFree(ctx, m); why != nil || err != nil {
			return why, err
		}
	}
	if r.DryRun {
		return b.replayInside(ctx, l, r)
	}
	m.State.NotBefore = time.Time{}
	if r.Delay > 0 {
		m.State.NotBefore = b.now().Add(r.Delay)
	}
	p := &post{Message: &m, out: &stem.Published{}, lane: l.lane.name}
	if why, err = hold(ctx, p); why != nil || err != nil {
		return why, err
	}
	if err = b.takeKeys(ctx, []*post{p}); err != nil {
		return nil, err
	}
	if p.over || p.blocked {
		b.published(ctx, []*post{p})
		return KeyTaken(cmp.Or(p.out.ID, "another")), nil
	}
	if why, err = b.replayInside(ctx, l, r); err != nil {
		return nil, err
	}
	p.out.ID, p.over = m.ID, true
	if why != nil {
		p.out.State = stem.Rejected
	}
	b.published(ctx, []*post{p})
	return why, nil
}

// take makes the entry of an id its message's, or says why not.
type take func(ctx context.Context, p *post) (why, err error)

// heldID looks at the entry of a dead letter's id and gives what makes it the letter's, provided that it is still the same: whoever
// publishes a task of this id meanwhile changes it first.
func (b *spreadBroker) heldID(ctx context.Context, l letter) (take, error) {
	if l.Message.GeneratedID {
		return func(context.Context, *post) (why, err error) { return nil, nil }, nil
	}
	entries, err := b.directory.load(ctx, []stem.RecordRef{idRef(l.Message.ID)})
	if err != nil {
		return nil, err
	}
	e, taken := entries[0], false
	if e != nil && e.Lane != l.lane.name && b.now().Sub(e.record.Updated) < graceAge {
		other, err := b.lane(e.Lane)
		if err != nil {
			return nil, err
		}
		known, err := other.Knows(ctx, l.Message.ID)
		if err != nil {
			return nil, err
		}
		taken = !known[0]
	}
	return func(ctx context.Context, p *post) (why, err error) {
		if taken {
			return errTaken, nil
		}
		w := b.idWrite(p)
		if e != nil {
			w.Op, w.IfVersion = stem.ReplaceRecord, e.record.Version
		}
		_, conflicts, err := b.directory.save(ctx, []stem.RecordWrite{w})
		if err == nil && conflicts[0] {
			why = errTaken
		}
		return why, err
	}, nil
}

// keyFree says whether a dead letter can have its key.
func (b *spreadBroker) keyFree(ctx context.Context, m stem.Message) (why, err error) {
	entries, err := b.directory.load(ctx, []stem.RecordRef{keyRef(m.Unique.Key)})
	if err != nil || entries[0] == nil || entries[0].Task == m.ID {
		return nil, err
	}
	e := entries[0]
	found, err := b.find(ctx, []string{e.Task}, map[string]string{e.Task: e.Lane})
	if err == nil && found[0].live() {
		return KeyTaken(e.Task), nil
	}
	return nil, err
}

// replayInside has the lane move a letter, or say whether it would.
func (b *spreadBroker) replayInside(ctx context.Context, l letter, r stem.Replay) (why, err error) {
	r.DeadLetterQuery = stem.DeadLetterQuery{Queue: l.Message.Queue, IDs: []string{l.Message.ID}, Limit: 1}
	done, err := l.lane.Replay(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(done) == 0 {
		return ErrGone, nil
	}
	return done[0].Err, nil
}
