package adapters

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stemd/stem"
)

var errBare = errors.New("a lane keeps neither the records nor the groups of a settlement: that is for Compose")

// ending is a settlement on its way.
type ending struct {
	stem.Settlement // as its lane is to see it
	claim           held
	target          string // the lane that the task moves to; empty: it does not leave
	err             error
}

// settlePatience is how long a settlement may take to what must happen under the lease that it has just renewed.
const settlePatience = stem.DefaultLease * 2 / 3

// Settle implements stem.Broker. Before a task leaves its lane its follow-ups are published, and it is adopted where it moves to: what
// a crash leaves undone is done when the task is claimed again, and what was done is not done twice. Whoever claims a task that is on its
// way knows nothing of its follow-ups, so they come first. What can not be done for a batch is done for its members apart.
func (b *spreadBroker) Settle(ctx context.Context, settlements ...stem.Settlement) ([]error, error) {
	ends := make([]*ending, len(settlements))
	for i, s := range settlements {
		ends[i] = b.newEnding(s)
	}
	if err := together(ctx, len(ends), func(ctx context.Context) error { return b.prepare(ctx, ends) }); err != nil {
		for i, err := range apart(ctx, len(ends), err, func(ctx context.Context, i int) error {
			ends[i] = b.newEnding(settlements[i])
			return b.prepare(ctx, ends[i:i+1])
		}) {
			if err != nil {
				ends[i].err = fmt.Errorf("settle: %w", unreachable(err))
			}
		}
	}
	b.leave(ctx, ends)
	afterwards(ctx, func(ctx context.Context) { b.settled(ctx, ends) })
	errs := make([]error, len(ends))
	for i, e := range ends {
		errs[i] = e.err
	}
	return unlessAll(errs)
}

// prepare does all that comes before tasks leave their lanes.
func (b *spreadBroker) prepare(ctx context.Context, ends []*ending) error {
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	for _, step := range []func(context.Context, []*ending) error{b.secure, b.keep, b.follow, b.move} {
		if err := step(ctx, ends); err != nil {
			return err
		}
	}
	return nil
}

func (b *spreadBroker) newEnding(s stem.Settlement) *ending {
	e := &ending{Settlement: s, claim: b.inside(s.Receipt), err: CheckSettlement(s)}
	if e.err == nil && (len(s.Save) > 0 || s.Tally != nil) {
		e.err = errBare
	}
	e.Receipt = e.claim.Receipt
	return e
}

// secure renews the leases of those that do something before they leave, which ends those whose claim is over.
func (b *spreadBroker) secure(ctx context.Context, ends []*ending) error {
	var leases []stem.Lease
	for _, e := range ends {
		if e.err == nil && (len(e.Then) > 0 || e.Kind == stem.Move || e.Kind == stem.Park || e.claim.unique.Key != "" && (e.Kind == stem.Retry || e.Kind == stem.Hold)) {
			leases = append(leases, stem.Lease{Receipt: e.claim.outside(), For: b.leases.of(e.claim.outside())})
		}
	}
	if len(leases) == 0 {
		return nil
	}
	lost, err := b.Extend(ctx, leases...)
	if err != nil {
		return err
	}
	for _, e := range ends {
		if e.err == nil && slices.Contains(lost, e.claim.outside()) {
			e.err = fmt.Errorf("settle: %w", stem.ErrLeaseLost)
		}
	}
	return nil
}

// keep prolongs the unique keys of the tasks that wait for another run.
func (b *spreadBroker) keep(ctx context.Context, ends []*ending) error {
	var stakes []stake
	for _, e := range ends {
		if e.err == nil && e.claim.unique.Key != "" && (e.Kind == stem.Retry || e.Kind == stem.Hold) {
			stakes = append(stakes, stake{task: e.claim.ID, lane: e.claim.lane, unique: e.claim.unique, busy: e.At})
		}
	}
	if len(stakes) == 0 {
		return nil
	}
	return b.renew(ctx, stakes)
}

// follow publishes the follow-ups. One that wants the key of the task that ends gets it.
func (b *spreadBroker) follow(ctx context.Context, ends []*ending) error {
	var posts []*post
	for _, e := range ends {
		if e.err != nil {
			continue
		}
		for i := range e.Then {
			p := &post{Message: &e.Then[i], out: &stem.Published{ID: e.Then[i].ID}, lane: b.laneOf(e.Then[i].Queue)}
			if e.Kind == stem.Done || e.Kind == stem.Dead {
				p.heir = e.claim.ID
			}
			posts = append(posts, p)
		}
		e.Then = nil
	}
	if err := b.postAll(ctx, posts); err != nil {
		return fmt.Errorf("follow-up: %w", err)
	}
	for _, p := range posts {
		if p.out.Err != nil {
			return fmt.Errorf("follow-up %s: %w", p.ID, p.out.Err)
		}
	}
	return nil
}

// leave lets the lanes do what is left.
func (b *spreadBroker) leave(ctx context.Context, ends []*ending) {
	var lanes byLane
	for i, e := range ends {
		if e.err == nil {
			lanes.add(e.claim.lane, i)
		}
	}
	if len(lanes.names) > 1 {
		soon, cancel := context.WithTimeout(ctx, apartPatience)
		defer cancel()
		ctx = soon
	}
	_ = each(lanes.names, func(_ int, name string) error { // each settlement has its own answer
		at := lanes.at[name]
		batch := make([]stem.Settlement, len(at))
		for n, i := range at {
			batch[n] = ends[i].Settlement
		}
		var errs []error
		l, err := b.lane(name)
		if err == nil {
			errs, err = l.Settle(ctx, batch...)
		}
		for n, i := range at {
			if err != nil {
				ends[i].err = fmt.Errorf("settle: %w", unreachable(err))
			} else {
				ends[i].err = errs[n]
			}
		}
		return nil
	})
}

// settled looks after what the settlements were about beyond their lanes.
func (b *spreadBroker) settled(ctx context.Context, ends []*ending) {
	var over []stake
	var died []held
	for _, e := range ends {
		if e.err != nil {
			continue
		}
		if e.Kind != stem.AckEarly {
			b.leases.note(e.claim.outside(), 0)
		}
		switch lane := e.claim.lane; {
		case e.target != "":
			b.hints.set(e.claim.ID, e.target)
			continue
		case e.Kind == stem.Dead && !e.claim.generated:
			died = append(died, e.claim)
		case e.Kind != stem.Done && e.Kind != stem.Dead:
			b.hints.set(e.claim.ID, lane)
		}
		if e.claim.unique.Key != "" && (e.Kind == stem.Done || e.Kind == stem.Dead) {
			over = append(over, stake{task: e.claim.ID, unique: e.claim.unique})
		}
	}
	if len(over) > 0 {
		b.release(ctx, over)
	}
	b.forgetLetters(ctx, died)
}
