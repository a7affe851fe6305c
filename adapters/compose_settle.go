package adapters

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stemd/stem"
)

// Settle implements stem.Broker, in the order that Compose describes. What can not be done now may leave some of the steps done; the same
// settlement may be given again. Where a batch fails its members go on apart, so that a part of a store that can not be reached holds up
// nothing that does not need it.
func (b *composedBroker) Settle(ctx context.Context, settlements ...stem.Settlement) ([]error, error) {
	errs := make([]error, len(settlements))
	for i, s := range settlements {
		errs[i] = CheckSettlement(s)
	}
	for start := 0; start < len(settlements); {
		end := start + firstOfEach(settlements[start:])
		part, answers := slices.Clone(settlements[start:end]), errs[start:end]
		err := together(ctx, len(part), func(ctx context.Context) error { return b.prepare(ctx, part, answers) })
		if err != nil {
			for i, err := range apart(ctx, len(part), err, func(ctx context.Context, i int) error {
				return b.prepare(ctx, part[i:i+1], answers[i:i+1])
			}) {
				if answers[i] == nil {
					answers[i] = unreachable(err)
				}
			}
		}
		b.acknowledge(ctx, part, answers)
		start = end
	}
	answers, err := unlessAll(errs)
	if err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	return answers, nil
}

// prepare does all that comes before the broker's part.
func (b *composedBroker) prepare(ctx context.Context, settlements []stem.Settlement, errs []error) error {
	for _, step := range []func(context.Context, []stem.Settlement, []error) error{b.fence, b.saveRecords, b.saveResults, b.tally, b.elevate} {
		if err := step(ctx, settlements, errs); err != nil {
			return err
		}
	}
	return nil
}

// firstOfEach is how many settlements can go through the steps together: up to the second of one task, which must find the first
// one acknowledged.
func firstOfEach(settlements []stem.Settlement) int {
	seen := make(map[string]struct{}, len(settlements))
	for i, s := range settlements {
		if _, twice := seen[s.Receipt.ID]; twice {
			return i
		}
		seen[s.Receipt.ID] = struct{}{}
	}
	return len(settlements)
}

// fence renews the leases of the settlements that write anything before the broker does.
func (b *composedBroker) fence(ctx context.Context, settlements []stem.Settlement, errs []error) error {
	var leases []stem.Lease
	for i, s := range settlements {
		if errs[i] == nil && (len(s.Save) > 0 || b.apart && (s.Result != nil || s.Tally != nil) || b.tooEarly(s)) {
			leases = append(leases, stem.Lease{Receipt: s.Receipt, For: b.leases.of(s.Receipt)})
		}
	}
	if len(leases) == 0 {
		return nil
	}
	lost, err := b.broker.Broker.Extend(ctx, leases...)
	if err != nil {
		return err
	}
	for i, s := range settlements {
		if errs[i] == nil && slices.Contains(lost, s.Receipt) {
			errs[i] = fmt.Errorf("settle: %w", stem.ErrLeaseLost)
			b.begun.remove(s.Receipt)
		}
		if errs[i] == nil && b.tooEarly(s) {
			errs[i] = fmt.Errorf("settle: task %s: %w", s.Receipt.ID, ErrAckedEarly)
		}
	}
	return nil
}

// tooEarly says that the broker would refuse a settlement after others have written their part of it.
func (b *composedBroker) tooEarly(s stem.Settlement) bool {
	return s.Kind != stem.Done && s.Kind != stem.Dead && s.Kind != stem.AckEarly && b.early.has(s.Receipt)
}

// saveRecords saves each settlement's records, unless an earlier attempt at the same settlement did. After a crash there is no
// same settlement: the task is claimed anew and what it saves is made from the records as they are then.
func (b *composedBroker) saveRecords(ctx context.Context, settlements []stem.Settlement, errs []error) error {
	for i, s := range settlements {
		if errs[i] != nil || len(s.Save) == 0 || b.begun.has(s.Receipt) {
			continue
		}
		_, err := b.records.Records.Save(ctx, s.Save...)
		if errors.Is(err, stem.ErrConflict) {
			errs[i] = fmt.Errorf("settle: %w", err)
			continue
		}
		if err != nil {
			return err
		}
		b.begun.add(s.Receipt)
	}
	return nil
}

func (b *composedBroker) saveResults(ctx context.Context, settlements []stem.Settlement, errs []error) error {
	if !b.apart {
		return nil
	}
	var writes []stem.StatusWrite
	for i, s := range settlements {
		if errs[i] == nil && s.Result != nil {
			w := *s.Result
			w.Status.ID, w.Status.Epoch = s.Receipt.ID, s.Receipt.Epoch
			if w.TTL <= 0 && !w.Status.State.Terminal() {
				w.TTL = lifeOf(w.Status)
			}
			writes = append(writes, w)
		}
	}
	if len(writes) == 0 {
		return nil
	}
	return b.results.Results.Save(ctx, writes...)
}

// tally counts the ends in their groups and publishes the callbacks of those that are complete. Whoever comes to a group between
// the count and Fired publishes its callback again, to no effect: a crash here loses none.
func (b *composedBroker) tally(ctx context.Context, settlements []stem.Settlement, errs []error) error {
	if !b.apart {
		return nil
	}
	var tallies []stem.Tally
	for i, s := range settlements {
		if errs[i] == nil && s.Tally != nil {
			tally := *s.Tally
			tally.TaskID, tally.Epoch = s.Receipt.ID, s.Receipt.Epoch
			tallies = append(tallies, tally)
		}
	}
	return b.count(ctx, tallies)
}

// count tallies in the results' store and publishes the callbacks that are due.
func (b *composedBroker) count(ctx context.Context, tallies []stem.Tally) error {
	if len(tallies) == 0 {
		return nil
	}
	tallied, err := b.results.Results.Tally(ctx, tallies...)
	if err != nil {
		return err
	}
	var callbacks []stem.Message
	var fired []string
	for i, t := range tallied {
		if t.Callback != nil && !slices.Contains(fired, tallies[i].Group) {
			callbacks, fired = append(callbacks, *t.Callback), append(fired, tallies[i].Group)
		}
	}
	if len(fired) == 0 {
		return nil
	}
	published, err := b.Publish(ctx, callbacks...)
	if err != nil {
		return err
	}
	for i, p := range published {
		if p.Err != nil {
			return fmt.Errorf("callback of group %s: %w", fired[i], p.Err)
		}
	}
	return b.results.Results.Fired(ctx, fired...)
}

// elevate gives the follow-ups epochs above those of past lives.
func (b *composedBroker) elevate(ctx context.Context, settlements []stem.Settlement, errs []error) error {
	var follow []string
	for i, s := range settlements {
		for _, m := range s.Then {
			if errs[i] == nil {
				follow = append(follow, m.ID)
			}
		}
	}
	floors, err := b.floors(ctx, follow)
	if err != nil {
		return err
	}
	for i := range settlements {
		settlements[i].Then = above(floors, settlements[i].Then)
	}
	return nil
}

// remainder is what is left of a settlement for the broker.
func (b *composedBroker) remainder(s stem.Settlement) stem.Settlement {
	s.Save = nil
	if b.apart {
		s.Tally = nil
	}
	if b.apart && s.Kind != stem.Dead { // a dead letter keeps the error of its result
		s.Result = nil
	}
	return s
}

// acknowledge lets the broker do what is left of the settlements and then copies the statuses that it changed.
func (b *composedBroker) acknowledge(ctx context.Context, settlements []stem.Settlement, errs []error) {
	var rest []stem.Settlement
	var at []int
	for i, s := range settlements {
		if errs[i] == nil {
			rest, at = append(rest, b.remainder(s)), append(at, i)
		}
	}
	if len(rest) == 0 {
		return
	}
	answers, failed := b.broker.Broker.Settle(ctx, rest...)
	var changed []string
	for n, i := range at {
		err := unreachable(failed)
		if failed == nil {
			err = answers[n]
		}
		s := settlements[i]
		if errs[i] = err; errors.Is(err, stem.ErrUnreachable) {
			continue // it is to be given again
		}
		b.begun.remove(s.Receipt)
		if err != nil {
			continue
		}
		if s.Kind == stem.AckEarly {
			b.early.add(s.Receipt)
		} else {
			b.early.remove(s.Receipt)
			b.leases.note(s.Receipt, 0)
		}
		for _, m := range s.Then {
			changed = append(changed, m.ID)
		}
		if s.Result == nil && s.Kind != stem.Done && s.Kind != stem.Dead && s.Kind != stem.AckEarly {
			changed = append(changed, s.Receipt.ID)
		}
	}
	// They are settled; a status that lags behind does not change that.
	afterwards(ctx, func(ctx context.Context) { _ = b.mirror(ctx, changed) })
}
