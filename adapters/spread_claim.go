package adapters

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stemd/stem"
)

// section is what a claim asks of one lane: the queues of it that come one after the other.
type section struct {
	lane   *lane
	queues []stem.QueueLimit
}

func (s section) names() []string {
	out := make([]string, len(s.queues))
	for i, q := range s.queues {
		out[i] = q.Queue
	}
	return out
}

func (b *spreadBroker) sections(queues []stem.QueueLimit) ([]section, error) {
	var out []section
	for _, q := range queues {
		name := laneOf(q.Queue)
		if n := len(out) - 1; n >= 0 && out[n].lane.name == name {
			out[n].queues = append(out[n].queues, q)
			continue
		}
		l, err := b.lane(name)
		if err != nil {
			return nil, err
		}
		out = append(out, section{l, []stem.QueueLimit{q}})
	}
	return out, nil
}

// Claim implements stem.Broker. It looks into all lanes at once and claims in the order given; with nothing there it waits at all of
// them. A lane that can not be reached holds up no other: its error is told when there is nothing else to tell.
func (b *spreadBroker) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	if c.Owner == "" {
		return nil, errors.New("claim: a claim needs an owner")
	}
	sections, err := b.sections(c.Queues)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if c.Max <= 0 || len(sections) == 0 {
		return nil, nil
	}
	begun := time.Now()
	for vain := time.Duration(0); ; vain++ {
		ds, moved, err := b.take(ctx, c, sections)
		if len(ds) > 0 || err != nil {
			return ds, err
		}
		if moved {
			continue // there may be others behind those that were only to move
		}
		left := c.Wait - time.Since(begun)
		if left <= 0 {
			return nil, nil
		}
		if there, err := b.await(ctx, sections, left); err != nil || !there {
			return nil, err
		}
		if vain > 0 { // others were faster, or clocks differ: it is no use to ask at full speed
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(min(vain*vainPause, maxVainPause, left)):
			}
		}
	}
}

// A claim that was woken in vain several times waits a little before it looks again.
const (
	vainPause    = time.Millisecond
	maxVainPause = 100 * time.Millisecond
)

// take claims what is there now. moved: some of it was only to be moved on, which is done.
func (b *spreadBroker) take(ctx context.Context, c stem.Claim, sections []section) (out []stem.Delivery, moved bool, err error) {
	worth := make([]bool, len(sections))
	if len(sections) == 1 {
		worth[0] = true
	} else {
		_ = each(sections, func(i int, s section) error {
			there, err := s.lane.Await(ctx, 0, s.names()...)
			worth[i] = there || err != nil // the claim will tell
			return nil
		})
	}
	var errs []error
	for i, s := range sections {
		if !worth[i] || len(out) >= c.Max {
			continue
		}
		part := c
		part.Queues, part.Max, part.Wait = s.queues, c.Max-len(out), 0
		ds, err := s.lane.Claim(ctx, part)
		if err != nil {
			errs = append(errs, err)
		}
		for n := range ds {
			if err := fromLane(&ds[n].Message); err != nil {
				return nil, false, fmt.Errorf("claim: %w: task %s: %w", stem.ErrCorrupt, ds[n].ID, err)
			}
			ds[n].Receipt = held{ds[n].Receipt, s.lane.name, ds[n].Unique, ds[n].GeneratedID}.outside()
		}
		out = append(out, ds...)
	}
	if len(out) == 0 {
		return nil, false, errors.Join(errs...)
	}
	here, err := b.complete(ctx, out)
	if err != nil && len(here) == len(out) {
		return nil, false, fmt.Errorf("claim: which of it was to move: %w", errors.Join(err, giveBack(ctx, b, out, released)))
	}
	if err != nil && len(here) == 0 {
		return nil, false, fmt.Errorf("claim: move on what was to move: %w", err)
	}
	b.claimed(ctx, here)
	return here, len(here) < len(out), nil
}

// claimed prolongs the unique keys of what was claimed. One that can not be prolonged now is when the lease is.
func (b *spreadBroker) claimed(ctx context.Context, ds []stem.Delivery) {
	var stakes []stake
	for _, d := range ds {
		if d.Unique.Key != "" {
			stakes = append(stakes, stake{d.ID, laneOf(d.Queue), d.Unique, later(d.LeasedUntil, d.State.NotBefore), 0})
		}
	}
	if len(stakes) > 0 {
		_ = b.renew(ctx, stakes)
	}
}

// await waits until one of the lanes has something, and says whether one has.
func (b *spreadBroker) await(ctx context.Context, sections []section, patience time.Duration) (bool, error) {
	if len(sections) == 1 {
		return sections[0].lane.Await(ctx, patience, sections[0].names()...)
	}
	some, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var there bool
	var failed error
	var all sync.WaitGroup
	for _, s := range sections {
		all.Go(func() {
			ok, err := s.lane.Await(some, patience, s.names()...)
			mu.Lock()
			defer mu.Unlock()
			if ok {
				there = true
			} else if err != nil && some.Err() == nil {
				failed = err
			}
			if ok || err != nil {
				cancel()
			}
		})
	}
	all.Wait()
	if there {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return false, failed
}

// Extend implements stem.Broker.
func (b *spreadBroker) Extend(ctx context.Context, leases ...stem.Lease) ([]stem.Receipt, error) {
	claims := make([]held, len(leases))
	var lanes byLane
	for i, l := range leases {
		claims[i] = inside(l.Receipt)
		lanes.add(claims[i].lane, i)
	}
	gone, unsure := make([]bool, len(leases)), make([]bool, len(leases))
	err := b.inLanes(&lanes, func(l *lane, at []int) error {
		batch := make([]stem.Lease, len(at))
		for n, i := range at {
			batch[n] = stem.Lease{Receipt: claims[i].Receipt, For: leases[i].For}
		}
		lost, err := l.Extend(ctx, batch...)
		for _, i := range at {
			unsure[i] = err != nil
		}
		for _, r := range lost {
			for _, i := range at {
				gone[i] = gone[i] || claims[i].Receipt == r
			}
		}
		return err
	})
	var lost []stem.Receipt
	var stakes []stake
	for i, l := range leases {
		switch length := l.For; {
		case gone[i]:
			lost = append(lost, l.Receipt)
		case !unsure[i] && claims[i].unique.Key != "":
			if length <= 0 {
				length = stem.DefaultLease
			}
			stakes = append(stakes, stake{l.Receipt.ID, claims[i].lane, claims[i].unique, time.Time{}, length})
		}
	}
	if len(stakes) > 0 { // a lane that can not be reached costs no other its keys
		err = errors.Join(err, b.renew(ctx, stakes))
	}
	if err != nil {
		return lost, fmt.Errorf("extend: %w", unreachable(err))
	}
	return lost, nil
}
