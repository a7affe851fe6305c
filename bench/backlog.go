package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
)

const (
	smallBacklog = 1_000
	bigBacklog   = 1_000_000
	claimMax     = 100
)

// backlog claims and settles 20,000 tasks of a queue that always holds about as many as it says: what is taken is put back at
// its end. Ratio is per_sec of the big over that of the small one.
func backlog(size int) func(context.Context, setting) (result, error) {
	return func(ctx context.Context, s setting) (r result, err error) {
		store, err := sqlite.Open(ctx, "sqlite://"+filepath.Join(s.dir, "stem.db"))
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		if _, err := enqueue(ctx, store, size, s.size); err != nil {
			return r, err
		}
		n := s.n
		if n == 0 {
			n = 20_000
		}
		before := measure(os.Getpid())
		took, err := cycle(ctx, store, n, s.size)
		if err != nil {
			return r, err
		}
		after := measure(os.Getpid())
		return result{N: n, Seconds: took.Seconds(), PerSec: float64(n) / took.Seconds(), RSS: after.rss, CPU: after.cpu - before.cpu}, nil
	}
}

// cycle claims and settles n tasks, putting as many back, and returns the time that claiming and settling took.
func cycle(ctx context.Context, store stem.Store, n, size int) (took time.Duration, err error) {
	for done := 0; done < n; {
		begun := time.Now()
		ds, err := store.Broker.Claim(ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: claimMax, Owner: "bench/1"})
		if err != nil {
			return 0, err
		}
		if err := succeed(ctx, store, ds); err != nil {
			return 0, err
		}
		took += time.Since(begun)
		if _, err := enqueue(ctx, store, len(ds), size); err != nil {
			return 0, err
		}
		done += len(ds)
	}
	return took, nil
}

func succeed(ctx context.Context, store stem.Store, ds []stem.Delivery) error {
	settlements := make([]stem.Settlement, len(ds))
	for i, d := range ds {
		settlements[i] = stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: stem.Status{
			ID: d.ID, Name: d.Name, Queue: d.Queue, State: stem.Succeeded, Result: []byte("null"), Worker: "bench",
		}}}
	}
	errs, err := store.Broker.Settle(ctx, settlements...)
	return errors.Join(append(errs, err)...)
}

// sqliteDelayed is delayedTasks on SQLite.
func sqliteDelayed(ctx context.Context, s setting) (result, error) {
	return delayedTasks(ctx, s, func(o stem.StoreOption) (stem.Store, error) {
		return sqlite.Open(ctx, "sqlite://"+filepath.Join(s.dir, "stem.db"), o)
	})
}

// delayedTasks measures a store that holds a million delayed tasks: claims beside them first (p50 and p99 are those of a claim of
// one task), then, once all are due, how fast they are promoted and claimed.
func delayedTasks(ctx context.Context, s setting, open func(clock stem.StoreOption) (stem.Store, error)) (r result, err error) {
	n := s.count(bigBacklog)
	var ahead atomic.Int64
	store, err := open(func(o *stem.StoreOptions) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := enqueue(ctx, store, n, s.size, stem.Delay(time.Hour)); err != nil {
		return r, err
	}
	if r.P50, r.P99, err = claimTimes(ctx, store, 2000, s.size); err != nil {
		return r, err
	}
	ahead.Store(int64(2 * time.Hour))
	before, begun := measure(os.Getpid()), time.Now()
	for taken := 0; taken < n; {
		ds, err := store.Broker.Claim(ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: 500, Owner: "bench/1", Lease: 24 * time.Hour})
		if err != nil {
			return r, err
		}
		if len(ds) == 0 {
			return r, fmt.Errorf("nothing to claim after %d of %d", taken, n)
		}
		taken += len(ds)
	}
	r.Seconds = time.Since(begun).Seconds()
	after := measure(os.Getpid())
	r.N, r.PerSec, r.RSS, r.CPU = n, float64(n)/r.Seconds, after.rss, after.cpu-before.cpu
	return r, nil
}

// claimTimes publishes, claims and settles n tasks one at a time and returns percentiles of the claims, in milliseconds.
func claimTimes(ctx context.Context, store stem.Store, n, size int) (p50, p99 float64, err error) {
	var times []float64
	for range n {
		if _, err := enqueue(ctx, store, 1, size); err != nil {
			return 0, 0, err
		}
		begun := time.Now()
		ds, err := store.Broker.Claim(ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: 1, Owner: "bench/1"})
		if err != nil || len(ds) == 0 {
			return 0, 0, fmt.Errorf("claimed %d: %w", len(ds), err)
		}
		times = append(times, time.Since(begun).Seconds()*1000)
		if err := succeed(ctx, store, ds); err != nil {
			return 0, 0, err
		}
	}
	p50, p99 = percentiles(times)
	return p50, p99, nil
}

// cycles runs tasks through a small queue until n have gone through and compares the last tenth with the first: p50 is the time of
// one claim and its settlement in the first tenth, p99 that in the last, in milliseconds.
func cycles(ctx context.Context, s setting) (r result, err error) {
	n := s.n
	if n == 0 {
		n = 1_000_000
	}
	store, err := sqlite.Open(ctx, "sqlite://"+filepath.Join(s.dir, "stem.db"))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := enqueue(ctx, store, smallBacklog, s.size); err != nil {
		return r, err
	}
	tenth := n / 10
	for part := range 10 {
		took, err := cycle(ctx, store, tenth, s.size)
		if err != nil {
			return r, err
		}
		each := took.Seconds() * 1000 * claimMax / float64(tenth)
		if part == 0 {
			r.P50 = each
		}
		r.P99 = each
		r.Seconds += took.Seconds()
	}
	r.N, r.PerSec, r.RSS = n, float64(n)/r.Seconds, measure(os.Getpid()).rss
	return r, nil
}
