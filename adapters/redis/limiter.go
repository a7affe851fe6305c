package redis

import (
	"context"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

var _ stem.Limiter = (*broker)(nil)

const (
	// takeKeys is how many keys are asked for in one round trip.
	takeKeys = 256
	// takeMax is how many tokens of one key one script takes.
	takeMax = 1000
)

// Take implements stem.Limiter. Keys are spread over the nodes of a Cluster; one that can not be reached fails its own keys only.
func (b *broker) Take(ctx context.Context, asks ...stem.RateAsk) ([]stem.RateAnswer, error) {
	if err := b.mayWrite("take"); err != nil {
		return nil, err
	}
	out := make([]stem.RateAnswer, len(asks))
	for part := range slices.Chunk(b.takings(asks, out), takeKeys) {
		if err := b.takeTokens(ctx, part, out); err != nil {
			return nil, b.wrap("take", err)
		}
	}
	return out, nil
}

// takings orders what is asked for by key, and answers what can not be asked.
func (b *broker) takings(asks []stem.RateAsk, out []stem.RateAnswer) []*call {
	var all []*call
	open := map[string]*call{} // the last of each key
	for i, a := range asks {
		if out[i].Err = adapters.CheckAsk(a); out[i].Err != nil {
			continue
		}
		c := open[a.Key]
		if c == nil || len(c.msgs) == takeMax {
			c = &call{script: "take", key: b.keys.limit(a.Key), args: []any{b.clock()}}
			open[a.Key] = c
			all = append(all, c)
		}
		every, hold := adapters.RateNumbers(a.Rate)
		c.msgs, c.args = append(c.msgs, i), append(c.args, every, hold)
	}
	return all
}

// takeTokens runs scripts in one round trip. It fails when all of them do.
func (b *broker) takeTokens(ctx context.Context, part []*call, out []stem.RateAnswer) error {
	b.runApart(ctx, part)
	failed := 0
	var last error
	for _, c := range part {
		until, err := c.cmd.Int64Slice()
		if err != nil {
			failed, last = failed+1, err
		}
		for n, i := range c.msgs {
			switch {
			case err != nil:
				out[i].Err = b.wrap("take", err)
			case until[n] == 0:
				out[i].Granted = true
			default:
				out[i].Until = time.UnixMicro(until[n]).UTC()
			}
		}
	}
	if failed == len(part) {
		return last
	}
	return nil
}
