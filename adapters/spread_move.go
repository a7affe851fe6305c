package adapters

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stemd/stem"
)

// moving is a task on its way to another lane.
type moving struct {
	claim held
	from  Stay  // as it is where it was
	stay  *Stay // as it is to arrive
	entry *entry
}

// errStale says that somebody else is moving a task.
var errStale = errors.New("somebody else is moving it")

// move has other lanes adopt the tasks that go there. What is left of the settlement is that the task leaves.
func (b *spreadBroker) move(ctx context.Context, ends []*ending) error {
	var from byLane
	var refs []stem.RecordRef
	var at []int
	for i, e := range ends {
		if e.err == nil && (e.Kind == stem.Park || e.Kind == stem.Move && b.laneOf(e.Queue) != e.claim.lane) {
			from.add(e.claim.lane, i)
			refs, at = append(refs, moveRef(e.claim.lane, e.claim.ID)), append(at, i)
		}
	}
	// The entries come first: what changes one afterwards is met when it is written.
	found, err := b.directory.load(ctx, refs)
	if err != nil {
		return err
	}
	entries, stays := make([]*entry, len(ends)), make([]*Stay, len(ends))
	for n, i := range at {
		entries[i] = found[n]
	}
	if err := b.stays(ctx, &from, stays, func(i int) string { return ends[i].claim.ID }); err != nil {
		return err
	}
	var movings []moving
	for i, s := range stays {
		if s == nil {
			continue // it does not move, or it is over, which its lane will say
		}
		e, to := ends[i], ends[i].Queue
		if e.Kind == stem.Park {
			to = stem.ParkedPrefix + s.Message.Name
		}
		switch {
		case s.Message.State.Epoch != e.claim.Epoch: // it has been claimed again, or has come back
			e.err = fmt.Errorf("settle: %w", stem.ErrLeaseLost)
			continue
		case b.laneOf(to) == e.claim.lane: // parked where it is parked already
			continue
		case s.Message.State.AckedEarly:
			e.err = fmt.Errorf("settle: task %s: %w", e.claim.ID, ErrAckedEarly)
			continue
		}
		m := moving{claim: e.claim, from: *s, stay: s, entry: entries[i]}
		s.Message.State, s.Message.Queue = Settled(s.Message.State, e.State), to
		if m.begun() {
			if err := m.follow(); err != nil {
				return err
			}
		}
		e.target = b.laneOf(s.Message.Queue)
		e.Settlement = stem.Settlement{Receipt: e.claim.Receipt, Kind: stem.Done}
		movings = append(movings, m)
	}
	if err := b.intend(ctx, movings); err != nil {
		return err
	}
	return b.relocate(ctx, movings)
}

// begun says whether the entry is of this move: its task may be there already.
func (m *moving) begun() bool { return m.entry != nil && m.entry.Stay == m.from.Token }

// follow has the task go where the entry says.
func (m *moving) follow() error {
	var state stem.State
	if err := stem.DecodeState(m.entry.State, &state); err != nil {
		return err
	}
	m.stay.Message.State, m.stay.Message.Queue = Settled(m.from.Message.State, &state), m.entry.Queue
	return nil
}

// stays reads tasks in their lanes, each into its place.
func (b *spreadBroker) stays(ctx context.Context, where *byLane, out []*Stay, id func(i int) string) error {
	return b.inLanes(where, func(l *lane, at []int) error {
		ids := make([]string, len(at))
		for n, i := range at {
			ids[n] = id(i)
		}
		found, err := l.Stays(ctx, ids...)
		if err != nil {
			return err
		}
		for n, i := range at {
			out[i] = found[n]
		}
		return nil
	})
}

// intend notes where tasks go before they do. Who is given such a task again, or maintains the store, brings it there instead: it may
// have gone, run and ended. What an earlier move of the task left behind is over.
func (b *spreadBroker) intend(ctx context.Context, movings []moving) error {
	var writes []stem.RecordWrite
	var over []*entry
	var of []string
	for _, m := range movings {
		state, err := stem.EncodeState(m.stay.Message.State)
		if err != nil {
			return err
		}
		n := note{Lane: b.laneOf(m.stay.Message.Queue), Queue: m.stay.Message.Queue, Stay: m.from.Token, State: state}
		w := stem.RecordWrite{Record: n.record(moveRef(m.claim.lane, m.claim.ID)), Op: stem.CreateRecord}
		w.Record.Due = b.now().Add(mendAfter)
		if m.entry != nil {
			w.Op, w.IfVersion = stem.ReplaceRecord, m.entry.record.Version
			if !m.begun() {
				over, of = append(over, m.entry), append(of, m.claim.lane)
			}
		}
		writes = append(writes, w)
	}
	if len(writes) == 0 {
		return nil
	}
	if err := b.forget(ctx, over, of); err != nil {
		return err
	}
	_, conflicts, err := b.directory.save(ctx, writes)
	if err == nil && slices.Contains(conflicts, true) {
		return errStale
	}
	return err
}

// relocate brings tasks to the lanes they move to, and then what the directory says of them.
func (b *spreadBroker) relocate(ctx context.Context, movings []moving) error {
	var to byLane
	for i, m := range movings {
		to.add(b.laneOf(m.stay.Message.Queue), i)
	}
	afterwards(ctx, func(ctx context.Context) { _ = b.list(ctx, to.names) }) // as for what is published
	if err := b.clear(ctx, movings); err != nil {
		return err
	}
	err := b.inLanes(&to, func(l *lane, at []int) error {
		batch := make([]Stay, len(at))
		for n, i := range at {
			batch[n] = *movings[i].stay
			batch[n].Token = moveToken(movings[i].claim.lane, movings[i].from.Token)
		}
		return l.Adopt(ctx, batch...)
	})
	if err != nil {
		return err
	}
	var ids []stem.RecordWrite
	var stakes []stake
	for _, m := range movings {
		msg := m.stay.Message
		if lane := b.laneOf(msg.Queue); m.claim.unique.Key != "" {
			stakes = append(stakes, stake{task: msg.ID, lane: lane, unique: m.claim.unique})
		}
		if !msg.GeneratedID {
			w := b.idWrite(&post{Message: &msg, lane: b.laneOf(msg.Queue)})
			w.Op = stem.PutRecord
			ids = append(ids, w)
		}
	}
	if len(ids) > 0 {
		if _, _, err := b.directory.save(ctx, ids); err != nil {
			return err
		}
	}
	return b.rehouse(ctx, stakes)
}

// clear ends the stays that tasks which come back may still have where they come to: whoever moved them away has not ended them yet, and
// is not to end what comes now.
func (b *spreadBroker) clear(ctx context.Context, movings []moving) error {
	refs := make([]stem.RecordRef, len(movings))
	for i, m := range movings {
		refs[i] = moveRef(b.laneOf(m.stay.Message.Queue), m.claim.ID)
	}
	entries, err := b.directory.load(ctx, refs)
	if err != nil {
		return err
	}
	var there byLane
	for i, e := range entries {
		if e != nil {
			there.add(b.laneOf(movings[i].stay.Message.Queue), i)
		}
	}
	stays := make([]*Stay, len(movings))
	if err := b.stays(ctx, &there, stays, func(i int) string { return movings[i].claim.ID }); err != nil {
		return err
	}
	return b.inLanes(&there, func(l *lane, at []int) error {
		var over []Stay
		for _, i := range at {
			if s := stays[i]; s != nil && s.Token == entries[i].Stay {
				state := &movings[i].stay.Message.State
				state.Epoch, over = max(state.Epoch, s.Message.State.Epoch), append(over, *s)
			}
		}
		if len(over) == 0 {
			return nil
		}
		return l.Leave(ctx, over...)
	})
}

// complete finishes the moves of tasks that came back because their mover went away, and returns the other ones. With an error it returns
// all when nothing is known of them, and else those that are not to move; the others come again when their leases end.
func (b *spreadBroker) complete(ctx context.Context, ds []stem.Delivery) ([]stem.Delivery, error) {
	var refs []stem.RecordRef
	var at []int
	for i, d := range ds {
		if d.State.Redeliveries > 0 {
			refs, at = append(refs, moveRef(b.laneOf(d.Queue), d.ID)), append(at, i)
		}
	}
	entries, err := b.directory.load(ctx, refs)
	if err != nil {
		return ds, err
	}
	var from byLane
	for n, e := range entries {
		if e != nil {
			from.add(b.laneOf(ds[at[n]].Queue), n)
		}
	}
	if len(from.names) == 0 {
		return ds, nil
	}
	stays := make([]*Stay, len(entries))
	if err := b.stays(ctx, &from, stays, func(n int) string { return ds[at[n]].ID }); err != nil {
		return ds, err
	}
	var movings []moving
	gone := map[int]struct{}{}
	for n, s := range stays {
		switch {
		case entries[n] == nil:
			continue
		case s == nil || s.Message.State.Epoch != ds[at[n]].Receipt.Epoch: // somebody else has finished the move since
			gone[at[n]] = struct{}{}
			continue
		case s.Token != entries[n].Stay: // it has come back
			continue
		}
		m := moving{claim: b.inside(ds[at[n]].Receipt), from: *s, stay: s, entry: entries[n]}
		if err := m.follow(); err != nil {
			return ds, err
		}
		s.Message.State.Redeliveries-- // this one was no try at it
		movings = append(movings, m)
		gone[at[n]] = struct{}{}
	}
	var rest []stem.Delivery
	for i, d := range ds {
		if _, moves := gone[i]; !moves {
			rest = append(rest, d)
		}
	}
	return rest, b.finish(ctx, movings)
}

// finish brings tasks to where they go and ends their claims where they were.
func (b *spreadBroker) finish(ctx context.Context, movings []moving) error {
	if err := b.relocate(ctx, movings); err != nil {
		return err
	}
	var lanes byLane
	for i, m := range movings {
		lanes.add(m.claim.lane, i)
		b.hints.set(m.claim.ID, b.laneOf(m.stay.Message.Queue))
	}
	return b.inLanes(&lanes, func(l *lane, at []int) error {
		batch := make([]stem.Settlement, len(at))
		for n, i := range at {
			batch[n] = stem.Settlement{Receipt: movings[i].claim.Receipt, Kind: stem.Done}
		}
		_, err := l.Settle(ctx, batch...)
		return err
	})
}
