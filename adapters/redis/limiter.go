package redis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
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

// taking is a script that takes tokens of one key.
type taking struct {
	key  string
	asks []int // places in the batch
	args []any
	cmd  *redis.Cmd
}

// Take implements stem.Limiter. Keys are spread over the nodes of a Cluster; one that can not be reached fails its own keys only.
func (b *broker) Take(ctx context.Context, asks ...stem.RateAsk) ([]stem.RateAnswer, error) {
	if err := b.mayWrite("take"); err != nil {
		return nil, err
	}
	out := make([]stem.RateAnswer, len(asks))
	for all := b.takings(asks, out); len(all) > 0; {
		part := all[:min(len(all), takeKeys)]
		all = all[len(part):]
		if err := b.takeTokens(ctx, part, out); err != nil {
			return nil, b.wrap("take", err)
		}
	}
	return out, nil
}

// takings orders what is asked for by key, and answers what can not be asked.
func (b *broker) takings(asks []stem.RateAsk, out []stem.RateAnswer) []*taking {
	var all []*taking
	open := map[string]*taking{} // the last of each key
	for i, a := range asks {
		if out[i].Err = adapters.CheckAsk(a); out[i].Err != nil {
			continue
		}
		t := open[a.Key]
		if t == nil || len(t.asks) == takeMax {
			t = &taking{key: b.keys.limit(a.Key), args: []any{b.clock()}}
			open[a.Key] = t
			all = append(all, t)
		}
		every, hold := adapters.RateNumbers(a.Rate)
		t.asks, t.args = append(t.asks, i), append(t.args, every, hold)
	}
	return all
}

// takeTokens runs scripts in one round trip. It fails when all of them do.
func (b *broker) takeTokens(ctx context.Context, part []*taking, out []stem.RateAnswer) error {
	script := b.scripts["take"]
	pipe := b.client.Pipeline()
	for _, t := range part {
		t.cmd = script.EvalSha(ctx, pipe, []string{t.key}, t.args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	failed := 0
	var last error
	for _, t := range part {
		if redis.HasErrorPrefix(t.cmd.Err(), "NOSCRIPT") {
			t.cmd = script.Eval(ctx, b.client, []string{t.key}, t.args...)
		}
		until, err := t.cmd.Int64Slice()
		if err != nil {
			failed, last = failed+1, err
		}
		for n, i := range t.asks {
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
