package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stemd/stem"
)

const task, queue = "chaos.noop", "chaos"

// body is a JSON object of about size bytes.
func body(size int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"pad":%q}`, strings.Repeat("x", max(size-10, 0))))
}

// bulk is how many tasks go into one call of EnqueueMany.
const bulk = 5000

// enqueue publishes n no-ops in bulk and returns their ids.
func enqueue(ctx context.Context, store stem.Store, n, size int, opts ...stem.Option) ([]string, error) {
	return enqueueTask(ctx, store, task, n, size, opts...)
}

func enqueueTask(ctx context.Context, store stem.Store, task string, n, size int, opts ...stem.Option) ([]string, error) {
	client := stem.NewClient(store)
	ids := make([]string, 0, n)
	opts = append(opts, stem.Queue(queue))
	calls, args := make([]stem.Call, 0, bulk), body(size)
	for len(ids) < n {
		calls = calls[:0]
		for range min(bulk, n-len(ids)) {
			calls = append(calls, stem.Call{Name: task, Args: args, Options: opts})
		}
		results, err := client.EnqueueMany(ctx, calls...)
		if err != nil {
			return nil, err
		}
		for _, r := range results {
			if r.Err != nil {
				return nil, r.Err
			}
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

// drained waits until the queue is empty, looking often enough to end soon and seldom enough to cost nothing.
func drained(ctx context.Context, store stem.Store) error {
	inspector := store.Broker.(stem.Inspector)
	for {
		queues, err := inspector.Queues(ctx)
		if err != nil {
			return err
		}
		left := 0
		for _, q := range queues {
			left += q.Ready + q.Delayed + q.Running
			if q.Dead > 0 {
				return fmt.Errorf("%d dead letters in %s", q.Dead, q.Queue)
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// outcome reads what became of the tasks: the time from the first start to the last settlement, and enqueue → start.
func outcome(ctx context.Context, store stem.Store, ids []string) (result, error) {
	return outcomeSince(ctx, store, ids, func(s *stem.Status) time.Time { return s.EnqueuedAt })
}

// outcomeSince is outcome where somebody else knows when a task was enqueued.
func outcomeSince(ctx context.Context, store stem.Store, ids []string, enqueued func(*stem.Status) time.Time) (result, error) {
	var first, last time.Time
	var waits []float64
	for batch := range slices.Chunk(ids, 500) {
		statuses, err := store.Results.Load(ctx, batch...)
		if err != nil {
			return result{}, err
		}
		for i, s := range statuses {
			if s == nil || s.State != stem.Succeeded {
				return result{}, fmt.Errorf("task %s did not succeed: %+v", batch[i], s)
			}
			if first.IsZero() || s.StartedAt.Before(first) {
				first = s.StartedAt
			}
			if s.UpdatedAt.After(last) {
				last = s.UpdatedAt
			}
			waits = append(waits, s.StartedAt.Sub(enqueued(s)).Seconds()*1000)
		}
	}
	seconds := last.Sub(first).Seconds()
	r := result{N: len(ids), Seconds: seconds, PerSec: float64(len(ids)) / seconds}
	r.P50, r.P99 = percentiles(waits)
	return r, nil
}

func percentiles(values []float64) (p50, p99 float64) {
	slices.Sort(values)
	return values[len(values)/2], values[len(values)*99/100]
}
