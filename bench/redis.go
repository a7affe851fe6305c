package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

const drainOf = 50_000

// onRedis runs a case with a Redis server of its own, with an append-only file synced each second.
func onRedis(run func(context.Context, setting, *testserver.Redis, stem.Store) (result, error)) func(context.Context, setting) (result, error) {
	return func(ctx context.Context, s setting) (r result, err error) {
		server, err := testserver.StartRedis(ctx)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		store, err := redis.Open(ctx, server.URL())
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		return run(ctx, s, server, store)
	}
}

// redisDrain runs no-op tasks with their results kept. CPU is that of daemon, plugin and server together.
func redisDrain(concurrency int) func(context.Context, setting) (result, error) {
	return onRedis(func(ctx context.Context, s setting, server *testserver.Redis, store stem.Store) (r result, err error) {
		ids, err := enqueue(ctx, store, s.count(drainOf), s.size)
		if err != nil {
			return r, err
		}
		before := cpu(server.Pid())
		d, err := startStemd(ctx, s, store, server.URL(), concurrency)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, d.stop()) }()
		if err := drained(ctx, store); err != nil {
			return r, err
		}
		u, spent := measure(d.cmd.Process.Pid), cpu(server.Pid())-before
		r, err = outcome(ctx, store, ids)
		r.P50, r.P99 = 0, 0 // everything was enqueued before: the wait says nothing
		r.RSS, r.CPU = u.rss, u.cpu+spent
		return r, err
	})
}

func redisBatches(n int) func(context.Context, setting) (result, error) {
	return onRedis(func(ctx context.Context, s setting, server *testserver.Redis, store stem.Store) (result, error) {
		begun := time.Now()
		if _, err := enqueue(ctx, store, s.count(n), s.size); err != nil {
			return result{}, err
		}
		return rate(s.count(n), time.Since(begun)), nil
	})
}

// redisSingles enqueues one task a call from several producers of one process.
func redisSingles(producers int) func(context.Context, setting) (result, error) {
	return onRedis(func(ctx context.Context, s setting, _ *testserver.Redis, store stem.Store) (result, error) {
		client, n, args := stem.NewClient(store), s.count(drainOf), body(s.size)
		took, err := together(producers, n, func() error {
			_, err := client.Enqueue(ctx, task, args, stem.Queue(queue))
			return err
		})
		return rate(n, took), err
	})
}

// together has so many goroutines make n calls and says how long it took.
func together(producers, n int, call func() error) (time.Duration, error) {
	errs := make([]error, producers)
	var all sync.WaitGroup
	begun := time.Now()
	for i := range producers {
		all.Go(func() {
			for range n / producers {
				if errs[i] = call(); errs[i] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(begun), errors.Join(errs...)
}

func rate(n int, took time.Duration) result {
	return result{N: n, Seconds: took.Seconds(), PerSec: float64(n) / took.Seconds()}
}

// redisLatency lets another process enqueue n tasks, one after each gap.
func redisLatency(gap time.Duration, n int) func(context.Context, setting) (result, error) {
	return onRedis(func(ctx context.Context, s setting, server *testserver.Redis, store stem.Store) (r result, err error) {
		d, err := startStemd(ctx, s, store, server.URL(), 1)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, d.stop()) }()
		return latency(ctx, store, server.URL(), s.count(n), gap)
	})
}

// redisBacklog is backlog on Redis. It begins when the server has done with what publishing left it to do: a rewrite of its
// append-only file runs on one of its cores for a time that grows with the backlog, and is not what is measured.
func redisBacklog(size int) func(context.Context, setting) (result, error) {
	return onRedis(func(ctx context.Context, s setting, server *testserver.Redis, store stem.Store) (result, error) {
		if _, err := enqueue(ctx, store, size, s.size); err != nil {
			return result{}, err
		}
		if err := settled(ctx, server); err != nil {
			return result{}, err
		}
		n := s.count(20_000)
		took, err := cycle(ctx, store, n, s.size)
		r := rate(n, took)
		r.RSS = rss(server.Pid())
		return r, err
	})
}

// redisDelayed is delayedTasks on Redis. RSS is that of this process.
func redisDelayed(ctx context.Context, s setting) (result, error) {
	return onRedis(func(ctx context.Context, s setting, server *testserver.Redis, _ stem.Store) (result, error) {
		return delayedTasks(ctx, s, func(clock stem.StoreOption) (stem.Store, error) { return redis.Open(ctx, server.URL(), clock) })
	})(ctx, s)
}

// settled waits until a server rewrites its append-only file no more and has synced it.
func settled(ctx context.Context, server *testserver.Redis) error {
	for {
		info, err := server.Client.InfoMap(ctx, "persistence").Result()
		if err != nil {
			return err
		}
		p := info["Persistence"]
		if p["aof_rewrite_in_progress"] == "0" && p["aof_rewrite_scheduled"] == "0" && p["aof_pending_bio_fsync"] == "0" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// redisMemory is what the server needs for 100,000 waiting tasks, or for as many results; RSS is MB, so bytes each are RSS × 10.49.
func redisMemory(settled bool) func(context.Context, setting) (result, error) {
	return onRedis(func(ctx context.Context, s setting, server *testserver.Redis, store stem.Store) (r result, err error) {
		r.N = s.count(100_000)
		before, err := used(ctx, server)
		if err != nil {
			return r, err
		}
		if _, err := enqueue(ctx, store, r.N, s.size); err != nil {
			return r, err
		}
		for left := r.N; settled && left > 0; {
			ds, err := store.Broker.Claim(ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: claimMax, Owner: "bench/1"})
			if err != nil {
				return r, err
			}
			if err := succeed(ctx, store, ds); err != nil {
				return r, err
			}
			left -= len(ds)
		}
		after, err := used(ctx, server)
		r.RSS = (after - before) / (1 << 20)
		return r, err
	})
}

func used(ctx context.Context, server *testserver.Redis) (float64, error) {
	info, err := server.Client.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(info["Memory"]["used_memory"], 64)
}

// redisIdle watches 20 idle daemons on one server: CPU is the server's in 20 s, and P50 that of a daemon with its plugin, in percent.
func redisIdle(ctx context.Context, s setting) (result, error) {
	const daemons, settle, watched = 20, 10 * time.Second, 20 * time.Second
	return onRedis(func(ctx context.Context, s setting, server *testserver.Redis, store stem.Store) (r result, err error) {
		var running []*stemd
		defer func() {
			for _, d := range running {
				err = errors.Join(err, d.stop())
			}
		}()
		for i := range daemons {
			own := s
			own.dir = filepath.Join(s.dir, "d"+strconv.Itoa(i))
			if err := os.Mkdir(own.dir, 0o700); err != nil {
				return r, err
			}
			d, err := startStemd(ctx, own, store, server.URL(), 1)
			if err != nil {
				return r, err
			}
			running = append(running, d)
		}
		time.Sleep(settle)
		total := func() (sum float64) {
			for _, d := range running {
				sum += measure(d.cmd.Process.Pid).cpu
			}
			return sum
		}
		before, own := cpu(server.Pid()), total()
		time.Sleep(watched)
		r = result{N: daemons, Seconds: watched.Seconds(), CPU: cpu(server.Pid()) - before, RSS: rss(server.Pid())}
		r.P50 = (total() - own) / watched.Seconds() / daemons * 100
		beats, err := stem.Heartbeats(ctx, store)
		if err == nil && len(beats) != daemons {
			err = fmt.Errorf("%d of %d daemons show themselves", len(beats), daemons)
		}
		return r, err
	})(ctx, s)
}
