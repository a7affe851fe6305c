package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// onAsynq runs a case of asynq on a server of its own, set up as Stem's is.
func onAsynq(run func(ctx context.Context, s setting, server *testserver.Redis, client *asynq.Client) (result, error)) func(context.Context, setting) (result, error) {
	return onRedis(func(ctx context.Context, s setting, server *testserver.Redis, _ stem.Store) (r result, err error) {
		client := asynq.NewClient(asynq.RedisClientOpt{Addr: server.Addr})
		defer func() { err = errors.Join(err, client.Close()) }()
		r, err = run(ctx, s, server, client)
		r.System = "asynq"
		return r, err
	})
}

func asynqTask(s setting) *asynq.Task {
	return asynq.NewTask(task, body(s.size), asynq.Retention(24*time.Hour), asynq.Queue(queue))
}

// asynqWorkers runs handlers that keep a result, in this process.
func asynqWorkers(server *testserver.Redis, concurrency int, each func(*asynq.Task)) (*asynq.Server, error) {
	srv := asynq.NewServer(asynq.RedisClientOpt{Addr: server.Addr},
		asynq.Config{Concurrency: concurrency, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
	return srv, srv.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		each(t)
		_, err := t.ResultWriter().Write([]byte("{}"))
		return err
	}))
}

// asynqDrain counts the time until the last task is completed with its result. CPU is this process's and the server's.
func asynqDrain(concurrency int) func(context.Context, setting) (result, error) {
	return onAsynq(func(ctx context.Context, s setting, server *testserver.Redis, client *asynq.Client) (r result, err error) {
		n := s.count(drainOf)
		if _, err := together(8, n, func() error {
			_, err := client.EnqueueContext(ctx, asynqTask(s))
			return err
		}); err != nil {
			return r, err
		}
		inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: server.Addr})
		defer func() { err = errors.Join(err, inspector.Close()) }()
		before, begun := cpu(server.Pid())+cpu(os.Getpid()), time.Now()
		srv, err := asynqWorkers(server, concurrency, func(*asynq.Task) {})
		if err != nil {
			return r, err
		}
		defer srv.Shutdown()
		for {
			info, err := inspector.GetQueueInfo(queue)
			if err != nil {
				return r, err
			}
			if info.Completed == n {
				break
			}
			if info.Archived+info.Retry > 0 {
				return r, fmt.Errorf("%d tasks failed", info.Archived+info.Retry)
			}
			select {
			case <-ctx.Done():
				return r, ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
		r = rate(n, time.Since(begun))
		r.CPU = cpu(server.Pid()) + cpu(os.Getpid()) - before
		return r, nil
	})
}

func asynqSingles(producers int) func(context.Context, setting) (result, error) {
	return onAsynq(func(ctx context.Context, s setting, _ *testserver.Redis, client *asynq.Client) (result, error) {
		n, t := s.count(drainOf), asynqTask(s)
		took, err := together(producers, n, func() error {
			_, err := client.EnqueueContext(ctx, t)
			return err
		})
		return rate(n, took), err
	})
}

// asynqLatency enqueues 50 tasks a second.
func asynqLatency(ctx context.Context, s setting) (result, error) {
	return onAsynq(func(ctx context.Context, s setting, server *testserver.Redis, client *asynq.Client) (r result, err error) {
		n := s.count(500)
		var mu sync.Mutex
		sent, waits, all := map[string]time.Time{}, []float64{}, make(chan struct{})
		srv, err := asynqWorkers(server, 10, func(t *asynq.Task) {
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, time.Since(sent[t.ResultWriter().TaskID()]).Seconds()*1000)
			if len(waits) == n {
				close(all)
			}
		})
		if err != nil {
			return r, err
		}
		defer srv.Shutdown()
		tick := time.NewTicker(latencyGap)
		defer tick.Stop()
		for range n {
			id := stem.NewID()
			mu.Lock()
			sent[id] = time.Now()
			mu.Unlock()
			if _, err := client.EnqueueContext(ctx, asynqTask(s), asynq.TaskID(id)); err != nil {
				return r, err
			}
			<-tick.C
		}
		select {
		case <-all:
		case <-ctx.Done():
			return r, ctx.Err()
		}
		slices.Sort(waits)
		return result{N: n, P50: waits[n/2], P99: waits[n*99/100]}, nil
	})(ctx, s)
}
