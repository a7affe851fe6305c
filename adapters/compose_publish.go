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

// unborn says that a message has no past life to ask for: its id was generated and is published for the first time.
func unborn(m *stem.Message) bool { return m.GeneratedID && m.State.Epoch == 0 }

// raise gives messages epochs above those of past lives, and says for which of them that could not be found out; nil: for none. Those that
// are unborn do without.
func (b *composedBroker) raise(ctx context.Context, msgs []stem.Message) (raised []stem.Message, missed []error) {
	if !b.apart {
		return msgs, nil
	}
	ids := make([]string, len(msgs))
	patient := len(msgs)
	for i := range msgs {
		if ids[i] = msgs[i].ID; unborn(&msgs[i]) {
			patient++ // also one that is alone does not wait for long
		}
	}
	var floors map[string]stem.Epoch
	err := together(ctx, patient, func(ctx context.Context) (err error) {
		floors, err = b.floors(ctx, ids)
		return err
	})
	if err == nil {
		return above(floors, msgs), nil
	}
	found := make([]map[string]stem.Epoch, len(msgs))
	for i, err := range apart(ctx, len(msgs), err, func(ctx context.Context, i int) (err error) {
		if !unborn(&msgs[i]) {
			found[i], err = b.floors(ctx, ids[i:i+1])
		}
		return err
	}) {
		if err == nil || unborn(&msgs[i]) {
			continue
		}
		if missed == nil {
			missed = make([]error, len(msgs))
		}
		missed[i] = fmt.Errorf("publish: %w", unreachable(err))
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
