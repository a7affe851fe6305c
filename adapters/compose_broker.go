package adapters

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stemd/stem"
)

// giveBackTimeout bounds the attempt to give back claims that could not be recorded as running.
const giveBackTimeout = 5 * time.Second

// composedBroker is the Broker of a composed store.
type composedBroker struct{ *composed }

var _ stem.Broker = (*composedBroker)(nil)

// Claim implements stem.Broker. What can not be recorded as running is given back: a task whose result could not be kept
// either had better not run. It holds up no other.
func (b *composedBroker) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	ds, err := b.broker.Broker.Claim(ctx, c)
	b.leases.claimed(c, ds)
	for _, d := range ds {
		if d.State.AckedEarly {
			b.early.add(d.Receipt)
		}
	}
	if err != nil || len(ds) == 0 || !b.apart {
		return ds, err
	}
	var writes []stem.StatusWrite
	for _, d := range ds {
		if KeepsStatus(d.Queue) {
			status := LiveStatus(d.Message, d.Receipt.Owner, time.Time{}, nil)
			writes = append(writes, stem.StatusWrite{Status: status, TTL: lifeOf(status)})
		}
	}
	if err = together(ctx, len(writes), func(ctx context.Context) error { return b.results.Results.Save(ctx, writes...) }); err == nil {
		return ds, nil
	}
	failed := apart(ctx, len(writes), err, func(ctx context.Context, i int) error { return b.results.Results.Save(ctx, writes[i]) })
	err = fmt.Errorf("claim: record as running: %w", unreachable(err))
	var kept, rest []stem.Delivery
	n := 0
	for _, d := range ds {
		if KeepsStatus(d.Queue) {
			if n++; failed[n-1] != nil {
				rest = append(rest, d)
				continue
			}
		}
		kept = append(kept, d)
	}
	back := giveBack(ctx, b.broker.Broker, rest, func(d stem.Delivery) stem.Settlement { return putBack(d, c) })
	if len(kept) == 0 {
		return nil, errors.Join(err, back)
	}
	return kept, nil
}

// heldBack is how long a task is hidden whose part of the results can not be reached.
const heldBack = 5 * time.Second

// giveBack ends claims that nobody will hear of, each in a way.
func giveBack(ctx context.Context, b stem.Broker, ds []stem.Delivery, how func(stem.Delivery) stem.Settlement) error {
	back := make([]stem.Settlement, len(ds))
	for i, d := range ds {
		back[i] = how(d)
		if back[i].Receipt = d.Receipt; d.State.AckedEarly {
			back[i].Kind = stem.AckEarly // it can not be given back; its lease will expire
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
	defer cancel()
	_, err := b.Settle(ctx, back...)
	return err
}

// putBack hides what a claim gave for a moment: released it would be claimed again at once, and nothing that is behind it.
func putBack(d stem.Delivery, c stem.Claim) stem.Settlement {
	return stem.Settlement{Kind: stem.Hold, At: d.LeasedUntil.Add(heldBack - LeaseOf(&d.Message, c.Lease))}
}

// Extend implements stem.Broker.
func (b *composedBroker) Extend(ctx context.Context, leases ...stem.Lease) ([]stem.Receipt, error) {
	b.leases.extended(leases)
	return b.broker.Broker.Extend(ctx, leases...)
}
