package adapters

import (
	"context"
	"fmt"
	"maps"

	"github.com/stemd/stem"
)

// Publish implements stem.Broker. A failure to record the queued statuses does not undo what was accepted, so it is no error:
// Load finds the task in the broker's store.
func (b *composedBroker) Publish(ctx context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	raised, missed := b.raise(ctx, msgs)
	out, err := b.publishBut(ctx, raised, missed)
	if err != nil {
		return nil, err
	}
	var accepted []string
	for i, p := range out {
		if p.State == stem.Accepted && KeepsStatus(msgs[i].Queue) {
			accepted = append(accepted, msgs[i].ID)
		}
	}
	afterwards(ctx, func(ctx context.Context) { _ = b.mirror(ctx, accepted) })
	return out, nil
}

// raise gives messages epochs above those of past lives, and says for which of them that could not be found out; nil: for none. An id that
// was generated and is published for the first time has no past life, so it does without.
func (b *composedBroker) raise(ctx context.Context, msgs []stem.Message) (raised []stem.Message, missed []error) {
	if !b.apart {
		return msgs, nil
	}
	ids := make([]string, len(msgs))
	var bound []int // those that can not do without
	for i := range msgs {
		if ids[i] = msgs[i].ID; !msgs[i].GeneratedID || msgs[i].State.Epoch > 0 {
			bound = append(bound, i)
		}
	}
	var floors map[string]stem.Epoch
	look := func(ctx context.Context) (err error) {
		floors, err = b.floors(ctx, ids)
		return err
	}
	free := len(msgs) - len(bound)
	err := together(ctx, len(msgs)+free, look) // also one that is alone and free does not wait for long
	if err == nil {
		return above(floors, msgs), nil
	}
	found := make([]map[string]stem.Epoch, len(bound))
	for n, err := range apart(ctx, len(bound), err, func(ctx context.Context, n int) (err error) {
		found[n], err = b.floors(ctx, ids[bound[n]:bound[n]+1])
		return err
	}) {
		if err != nil && missed == nil {
			missed = make([]error, len(msgs))
		}
		if err != nil {
			missed[bound[n]] = fmt.Errorf("publish: %w", unreachable(err))
		}
	}
	floors = map[string]stem.Epoch{}
	for _, one := range found {
		maps.Copy(floors, one)
	}
	return above(floors, msgs), missed
}

// publishBut publishes the messages for which nothing was missed.
func (b *composedBroker) publishBut(ctx context.Context, msgs []stem.Message, missed []error) ([]stem.Published, error) {
	if missed == nil {
		return b.broker.Broker.Publish(ctx, msgs...)
	}
	all := make([]stem.Published, len(msgs))
	var rest []stem.Message
	var at []int
	for i, err := range missed {
		if all[i] = (stem.Published{State: stem.Unconfirmed, ID: msgs[i].ID, Err: err}); err == nil {
			rest, at = append(rest, msgs[i]), append(at, i)
		}
	}
	if len(rest) > 0 {
		out, err := b.broker.Broker.Publish(ctx, rest...)
		if err != nil {
			return nil, err
		}
		for n, i := range at {
			all[i] = out[n]
		}
	}
	return unlessNone(all)
}
