package memory

import (
	"context"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// bucket is a key of the limiter.
type bucket struct {
	adapters.Bucket
	key    string
	forget int64 // in microseconds
	at     int   // in core.resting
}

// Take implements stem.Limiter.
func (b *broker) Take(_ context.Context, asks ...stem.RateAsk) ([]stem.RateAnswer, error) {
	now, err := b.change()
	if err != nil {
		return nil, wrap("take", err)
	}
	defer b.mu.Unlock()
	out := make([]stem.RateAnswer, len(asks))
	for i, a := range asks {
		if err := adapters.CheckAsk(a); err != nil {
			out[i].Err = err
			continue
		}
		k := b.buckets[a.Key]
		if k == nil {
			k = &bucket{key: a.Key}
			b.buckets[a.Key] = k
		} else {
			b.resting.remove(k)
		}
		out[i] = k.Take(a.Rate, now.UnixMicro())
		k.forget = k.Forget(a.Rate)
		b.resting.push(k)
	}
	return out, nil
}
