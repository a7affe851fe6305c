package adapters

import (
	"context"
	"slices"
	"time"

	"github.com/stemd/stem"
)

// composedResults is the Results of a composed store: kept in one store, live tasks known to another.
type composedResults struct {
	stem.Results
	live stem.Results
}

var _ stem.Results = (*composedResults)(nil)

// Load implements stem.Results. What the results' store does not know may still wait in the broker's.
func (r *composedResults) Load(ctx context.Context, ids ...string) ([]*stem.Status, error) {
	out, err := r.Results.Load(ctx, ids...)
	if err != nil {
		return nil, err
	}
	var unknown []string
	var at []int
	for i, s := range out {
		if s == nil {
			unknown, at = append(unknown, ids[i]), append(at, i)
		}
	}
	if len(unknown) == 0 {
		return out, nil
	}
	live, err := r.live.Load(ctx, unknown...)
	if err != nil {
		return nil, err
	}
	for i, s := range live {
		if s != nil && !s.State.Terminal() {
			out[at[i]] = s
		}
	}
	return out, nil
}

// lifeOf is how long the status of a task that waits or runs is kept: past its due time, as a result is past its end. It counts from when the
// task's own store wrote it, by whose clock it is due; where that is not known, from now.
func lifeOf(s stem.Status) time.Duration {
	from := s.UpdatedAt
	if from.IsZero() {
		from = time.Now()
	}
	return stem.DefaultResultTTL + max(0, s.DueAt.Sub(from))
}

// floors gives the epochs that new lives of these tasks must have so that their statuses replace those of past lives, which only the
// results' store may know. A task that has a floor is one of which something is known.
func (c *composed) floors(ctx context.Context, ids []string) (map[string]stem.Epoch, error) {
	if !c.apart || len(ids) == 0 {
		return nil, nil
	}
	past, err := c.results.Results.Load(ctx, ids...)
	if err != nil {
		return nil, err
	}
	floors := map[string]stem.Epoch{}
	for _, s := range past {
		if s != nil {
			floors[s.ID] = s.Epoch + 1
		}
	}
	return floors, nil
}

// above gives messages the floors of their epochs.
func above(floors map[string]stem.Epoch, msgs []stem.Message) []stem.Message {
	if len(floors) == 0 {
		return msgs
	}
	msgs = slices.Clone(msgs)
	for i := range msgs {
		msgs[i].State.Epoch = max(msgs[i].State.Epoch, floors[msgs[i].ID])
	}
	return msgs
}

// mirror copies what the broker's store says of these tasks, as far as they are live, into the results' store. It is fenced
// by their epochs, so it comes too late rather than wrong.
func (c *composed) mirror(ctx context.Context, ids []string) error {
	if !c.apart || len(ids) == 0 {
		return nil
	}
	live, err := c.broker.Results.Load(ctx, ids...)
	if err != nil {
		return err
	}
	var writes []stem.StatusWrite
	for _, s := range live {
		if s != nil && !s.State.Terminal() {
			writes = append(writes, stem.StatusWrite{Status: *s, TTL: lifeOf(*s)})
		}
	}
	if len(writes) == 0 {
		return nil
	}
	return c.results.Results.Save(ctx, writes...)
}
