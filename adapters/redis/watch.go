package redis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

const (
	// watchEvery is how often a watch looks by itself, should a message be lost.
	watchEvery = time.Second
	// watchFor is how long scripts tell of a task whose watcher does not say again that it watches.
	watchFor = time.Minute
)

// Watch implements stem.Results: whoever changes the task tells its channel. What is known is shown at once, and once more when the server
// has confirmed that it tells.
func (r *results) Watch(ctx context.Context, id string) (<-chan stem.Status, error) {
	where := shard(r.shards, id)
	channel := where.keys.key(watched) + ":" + id
	e, err := r.hub.join(ctx, channel, 1)
	if err != nil {
		return nil, r.wrap("watch", err)
	}
	err = where.interest(ctx, id)
	select {
	case <-e.sure:
		e.sure = nil // what is loaded now is complete
	default:
	}
	var loaded []*stem.Status
	if err == nil {
		loaded, err = r.Load(ctx, id)
	}
	if err != nil {
		r.hub.forget(channel, e)
		return nil, r.wrap("watch", err)
	}
	out := make(chan stem.Status)
	started := r.start(func() {
		defer close(out)
		defer r.hub.forget(channel, e)
		r.follow(ctx, id, e, loaded[0], out)
	})
	if !started {
		return nil, r.wrap("watch", stem.ErrClosed)
	}
	return out, nil
}

// interest has scripts tell of a task for a while. The time is the store's.
func (d *db) interest(ctx context.Context, id string) error {
	if d.opts.ReadOnly {
		return nil // it looks by itself
	}
	now, err := d.now(ctx)
	if err != nil {
		return err
	}
	return d.client.ZAdd(ctx, d.keys.key(watched), redis.Z{Score: float64(now.Add(watchFor).UnixMicro()), Member: id}).Err()
}

// follow shows each new status of a task until it is terminal.
func (r *results) follow(ctx context.Context, id string, e *ear, now *stem.Status, out chan<- stem.Status) {
	viewer := adapters.Viewer{Out: out}
	renewed := time.Now()
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for {
		if viewer.Show(ctx, now) {
			return
		}
		timer.Reset(watchEvery)
		select {
		case _, open := <-e.ch:
			if !open {
				return
			}
		case <-e.sure:
			e.sure = nil
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if time.Since(renewed) > watchFor/2 && shard(r.shards, id).interest(ctx, id) == nil {
			renewed = time.Now()
		}
		// What can not be read now may be later; the store's outage is told by other calls.
		if loaded, err := r.Load(ctx, id); err == nil {
			now = loaded[0]
		}
	}
}
