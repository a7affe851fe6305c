package adapters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
)

// section is what a claim asks of one lane: the queues of it that come one after the other.
type section struct {
	lane   *lane
	queues []stem.QueueLimit
	ask    int // of the plan
	from   int // where its queues begin in it
}

// plan is a claim's sections in order, and what is asked of each lane.
type plan struct {
	sections []section
	asks     []Ask
}

func (b *spreadBroker) plan(queues []stem.QueueLimit) (*plan, error) {
	p, at := &plan{}, map[string]int{}
	for _, q := range queues {
		name := b.laneOf(q.Queue)
		l, err := b.lane(name)
		if err != nil {
			return nil, err
		}
		i, known := at[name]
		if !known {
			b.worksOn(name)
			i = len(p.asks)
			at[name], p.asks = i, append(p.asks, Ask{Lane: l.Lane})
		}
		if n := len(p.sections) - 1; n >= 0 && p.sections[n].lane == l {
			p.sections[n].queues = append(p.sections[n].queues, q)
		} else {
			p.sections = append(p.sections, section{l, []stem.QueueLimit{q}, i, len(p.asks[i].Queues)})
		}
		p.asks[i].Queues = append(p.asks[i].Queues, q.Queue)
	}
	return p, nil
}

// view is what a claim knows of the lanes of its plan.
type view struct {
	outlooks []Outlook
	errs     []error
}

// worth says whether a section may have something.
func (v *view) worth(s section) bool {
	o := &v.outlooks[s.ask]
	return o.Err == nil && slices.Contains(o.There[s.from:s.from+len(s.queues)], true)
}

// next is in how long a lane may have something by itself.
func (v *view) next() time.Duration {
	next := lookAgain
	for _, o := range v.outlooks {
		if o.Err == nil {
			next = min(next, o.Next)
		}
	}
	return next
}

// reached are the lanes that answer.
func (v *view) reached(p *plan) []Ask {
	var out []Ask
	for i, o := range v.outlooks {
		if o.Err == nil {
			out = append(out, p.asks[i])
		}
	}
	return out
}

// missed notes that a lane does not answer.
func (v *view) missed(s section, err error) {
	v.errs = append(v.errs, err)
	v.outlooks[s.ask].Err = err
}

const (
	// lookAgain is how long a waiting claim relies on being woken.
	lookAgain = time.Second
	// lookPatience is how long a lane may take to answer to those who have others to ask.
	lookPatience = 2 * time.Second
)

// Claim implements stem.Broker. It looks into all lanes at once and claims in the order given; with nothing there it waits at all of
// them. A lane that can not be reached holds up no other: its error is told when there is nothing else to tell.
func (b *spreadBroker) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	if c.Owner == "" {
		return nil, fmt.Errorf("claim: %w", ErrNoOwner)
	}
	p, err := b.plan(c.Queues)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if c.Max <= 0 || len(p.sections) == 0 {
		return nil, nil
	}
	begun := time.Now()
	for vain := time.Duration(0); ; vain++ {
		left := c.Wait - time.Since(begun)
		v := b.survey(ctx, p, left > 0)
		ds, moved, err := b.take(ctx, c, p, v, left)
		if len(ds) > 0 || err != nil {
			return ds, err
		}
		if moved {
			continue // there may be others behind those that were only to move
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		lanes := v.reached(p)
		if left = c.Wait - time.Since(begun); len(lanes) == 0 {
			return nil, fmt.Errorf("claim: %w", unreachable(Joined(v.errs...)))
		}
		rang := false
		if left > 0 && len(p.sections) > 1 {
			var failed error
			if rang, failed = b.Watch.Await(ctx, min(left, v.next()), lanes); failed != nil {
				v.errs = append(v.errs, failed)
			}
			left = c.Wait - time.Since(begun)
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case left <= 0 && !rang:
			return nil, unreachable(Joined(v.errs...))
		case vain > 0 && rang: // others were faster, or clocks differ: it is no use to ask at full speed
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(min(vain*vainPause, maxVainPause, max(left, 0))):
			}
		}
	}
}

// A claim that was woken in vain several times waits a little before it looks again.
const (
	vainPause    = time.Millisecond
	maxVainPause = 100 * time.Millisecond
)

// survey is where there is something. A claim of one section has no need to know.
func (b *spreadBroker) survey(ctx context.Context, p *plan, wait bool) *view {
	v := &view{}
	if len(p.sections) == 1 {
		v.outlooks = []Outlook{{There: []bool{true}}}
		return v
	}
	if len(p.asks) > 1 {
		soon, cancel := context.WithTimeout(ctx, lookPatience)
		defer cancel()
		ctx = soon
	}
	v.outlooks = b.Watch.Look(ctx, wait, p.asks)
	for _, o := range v.outlooks {
		if o.Err != nil {
			v.errs = append(v.errs, o.Err)
		}
	}
	return v
}

// take claims what is there now; a claim of one section waits for it there. moved: some of it was only to be moved on, which is done.
func (b *spreadBroker) take(ctx context.Context, c stem.Claim, p *plan, v *view, left time.Duration) (out []stem.Delivery, moved bool, err error) {
	var corrupt error
	for _, s := range p.sections {
		if len(out) >= c.Max {
			break
		}
		if len(p.sections) > 1 && !v.worth(s) {
			continue
		}
		part := c
		part.Queues, part.Max, part.Wait = s.queues, c.Max-len(out), 0
		if len(p.sections) == 1 {
			part.Wait = left
		}
		ds, err := s.lane.Claim(ctx, part)
		if err != nil {
			v.missed(s, err)
		}
		for _, d := range ds {
			if failed := fromLane(&d.Message); failed != nil { // it takes none of the others with it
				corrupt = fmt.Errorf("claim: %w: task %s: %w", stem.ErrCorrupt, d.ID, failed)
				continue
			}
			d.Receipt = held{d.Receipt, s.lane.name, d.Unique, d.GeneratedID}.outside()
			out = append(out, d)
		}
	}
	if len(out) == 0 {
		return nil, false, corrupt
	}
	here, err := b.complete(ctx, out)
	if err != nil && len(here) == len(out) { // those that may have been on the way are looked at again later
		var rest []stem.Delivery
		for _, d := range out {
			if d.State.Redeliveries > 0 {
				rest = append(rest, d)
			}
		}
		err = errors.Join(err, giveBack(ctx, b, rest, func(d stem.Delivery) stem.Settlement { return putBack(d, c) }))
		here = slices.DeleteFunc(here, func(d stem.Delivery) bool { return d.State.Redeliveries > 0 })
	}
	if err != nil && len(here) == 0 {
		return nil, false, fmt.Errorf("claim: which of it was to move: %w", unreachable(err))
	}
	b.claimed(ctx, here)
	b.leases.claimed(c, here)
	return here, len(here) < len(out), nil
}

// claimed prolongs the unique keys of what was claimed. One that can not be prolonged now is when the lease is.
func (b *spreadBroker) claimed(ctx context.Context, ds []stem.Delivery) {
	var stakes []stake
	for _, d := range ds {
		if d.Unique.Key != "" {
			stakes = append(stakes, stake{d.ID, b.laneOf(d.Queue), d.Unique, later(d.LeasedUntil, d.State.NotBefore), 0})
		}
	}
	if len(stakes) > 0 {
		_ = b.renew(ctx, stakes)
	}
}

// Extend implements stem.Broker.
func (b *spreadBroker) Extend(ctx context.Context, leases ...stem.Lease) ([]stem.Receipt, error) {
	b.leases.extended(leases)
	claims := make([]held, len(leases))
	var lanes byLane
	for i, l := range leases {
		claims[i] = b.inside(l.Receipt)
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
		switch {
		case gone[i]:
			lost = append(lost, l.Receipt)
		case !unsure[i] && claims[i].unique.Key != "":
			stakes = append(stakes, stake{l.Receipt.ID, claims[i].lane, claims[i].unique, time.Time{}, LeaseLength(l.For)})
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
