package adapters

import (
	"context"
	"strings"
	"time"

	"github.com/stemd/stem"
)

const (
	// mendAfter is when it is looked whether a move is over: its mover has given up by then, or tries again.
	mendAfter = 2 * time.Minute
	// mendAgain is when it is tried again to finish one that could not be finished.
	mendAgain = time.Minute
)

// moveToken names a stay of a lane to another lane.
func moveToken(lane, stay string) string { return lane + "\x00" + stay }

// forget has the lanes that tasks of these moves have gone to remember that no longer than necessary; from are the lanes they left.
func (b *spreadBroker) forget(ctx context.Context, over []*entry, from []string) error {
	var to byLane
	for i, e := range over {
		to.add(e.Lane, i)
	}
	return b.inLanes(&to, func(l *lane, at []int) error {
		tokens := make([]string, len(at))
		for n, i := range at {
			tokens[n] = moveToken(from[i], over[i].Stay)
		}
		return l.Forget(ctx, tokens...)
	})
}

// mend finishes moves whose movers have not, and drops the entries of those that are over. An entry has no end of its own: as long as a
// task may be where it was, it is known that it has gone.
func (b *spreadBroker) mend(ctx context.Context) (more bool, err error) {
	entries, more, err := b.directory.due(ctx, kindMove, b.now())
	if err != nil {
		return false, err
	}
	var from byLane
	for i, e := range entries {
		from.add(strings.TrimSuffix(e.record.Part, "\x00"+e.record.ID), i)
	}
	err = each(from.names, func(_ int, name string) error {
		var due []*entry
		for _, i := range from.at[name] {
			due = append(due, entries[i])
		}
		return b.mendLane(ctx, name, due)
	})
	return more, err
}

// mendLane mends the moves from a lane. What can not be mended now is put off, so that it is not in the way of others.
func (b *spreadBroker) mendLane(ctx context.Context, name string, due []*entry) error {
	err := b.mendAll(ctx, name, due)
	if err == nil {
		return nil
	}
	var failed []error
	var again []*entry
	for i, err := range apart(ctx, len(due), err, func(ctx context.Context, i int) error { return b.mendAll(ctx, name, due[i:i+1]) }) {
		if err != nil {
			failed, again = append(failed, err), append(again, due[i])
		}
	}
	return Joined(append(failed, b.putOff(ctx, again, mendAgain))...)
}

func (b *spreadBroker) mendAll(ctx context.Context, name string, due []*entry) error {
	var here byLane
	for i := range due {
		here.add(name, i)
	}
	stays := make([]*Stay, len(due))
	if err := b.stays(ctx, &here, stays, func(i int) string { return due[i].record.ID }); err != nil {
		return err
	}
	var movings []moving
	var over []*entry
	for i, s := range stays {
		if s == nil || s.Token != due[i].Stay {
			over = append(over, due[i])
			continue
		}
		m := moving{claim: held{Receipt: stem.Receipt{ID: s.Message.ID}, lane: name}, from: *s, stay: s, entry: due[i]}
		outer := s.Message
		if err := fromLane(&outer); err != nil {
			return err
		}
		m.claim.unique = outer.Unique
		if err := m.follow(); err != nil {
			return err
		}
		movings = append(movings, m)
	}
	if err := b.relocate(ctx, movings); err != nil {
		return err
	}
	l, err := b.lane(name)
	if err != nil {
		return err
	}
	var gone []Stay
	var left []*entry
	for _, m := range movings {
		gone, left = append(gone, m.from), append(left, m.entry)
		b.hints.set(m.claim.ID, b.laneOf(m.stay.Message.Queue))
	}
	if len(gone) > 0 {
		if err := l.Leave(ctx, gone...); err != nil {
			return err
		}
	}
	// Somebody may have claimed one just before it left and look for its entry now: it goes with the next mending.
	if err := b.putOff(ctx, left, mendAfter); err != nil {
		return err
	}
	return b.drop(ctx, name, over)
}

// putOff has entries looked at again later.
func (b *spreadBroker) putOff(ctx context.Context, entries []*entry, d time.Duration) error {
	if len(entries) == 0 {
		return nil
	}
	writes := make([]stem.RecordWrite, len(entries))
	for i, e := range entries {
		writes[i] = stem.RecordWrite{Record: *e.record, Op: stem.ReplaceRecord, IfVersion: e.record.Version}
		writes[i].Record.Due = b.now().Add(d)
	}
	_, _, err := b.directory.save(ctx, writes)
	return err
}

// drop deletes entries of moves that are over.
func (b *spreadBroker) drop(ctx context.Context, name string, over []*entry) error {
	if len(over) == 0 {
		return nil
	}
	from, refs, versions := make([]string, len(over)), make([]stem.RecordRef, len(over)), make([]int64, len(over))
	for i, e := range over {
		from[i], refs[i], versions[i] = name, e.record.RecordRef, e.record.Version
	}
	if err := b.forget(ctx, over, from); err != nil {
		return err
	}
	return b.directory.erase(ctx, refs, versions)
}
