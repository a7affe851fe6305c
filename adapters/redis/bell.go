package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

// bellPatience is how long a claim waits for the bell before it looks by itself, should a ring be lost.
const bellPatience = time.Second

// rest waits for a ring of one of a claim's queues, for d, or for ctx. A ring wakes one who waits; whoever finds more than it takes
// rings again.
func (b *broker) rest(ctx context.Context, c stem.Claim, d time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	args := make([]any, 0, len(c.Queues)+2)
	args = append(args, "BZPOPMIN")
	for _, q := range c.Queues {
		args = append(args, b.keys.bell(q.Queue))
	}
	args = append(args, strconv.FormatFloat(max(d, time.Millisecond).Seconds(), 'f', 6, 64))
	rung := make(chan error, 1)
	started := b.start(func() {
		bell, err := b.waiting.Do(context.Background(), args...).Slice()
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		if len(bell) > 0 && ctx.Err() != nil && !b.closed.Load() { // it was for somebody else
			_ = b.client.ZAdd(context.Background(), bell[0].(string), redis.Z{Member: "r"}).Err()
		}
		rung <- err
	})
	if !started {
		return stem.ErrClosed
	}
	select {
	case err := <-rung:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
