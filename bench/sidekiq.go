package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

//go:embed sidekiq.rb
var sidekiqScript []byte

// sidekiq is Sidekiq on a server of its own, set up as Stem's is.
//
// Jobs come from Sidekiq's own client in a Ruby process of its own: it is what Sidekiq's users run, and Stem's figures have Stem's client
// in them too. The time is taken as Stem takes it, from the wall clock in microseconds: right before the call that enqueues, and first
// of all in the handler. Sidekiq does less than the others: it keeps no results, and what a killed worker had taken is lost.
type sidekiq struct {
	setting
	server      *testserver.Redis
	concurrency int
}

// onSidekiq runs a case of Sidekiq of n jobs.
func onSidekiq(concurrency, n int, run func(context.Context, sidekiq) (result, error)) func(context.Context, setting) (result, error) {
	return func(ctx context.Context, s setting) (result, error) {
		for _, program := range []string{"ruby", "sidekiq"} {
			if _, err := exec.LookPath(program); err != nil {
				return result{}, fmt.Errorf("%s is not installed: on Debian: apt-get install --no-install-recommends ruby ruby-sidekiq: %w", program, err)
			}
		}
		s.n = s.count(n)
		return onRedis(func(ctx context.Context, s setting, server *testserver.Redis, _ stem.Store) (result, error) {
			q := sidekiq{s, server, concurrency}
			if err := os.WriteFile(q.script(), sidekiqScript, 0o600); err != nil {
				return result{}, err
			}
			return run(ctx, q)
		})(ctx, s)
	}
}

// sidekiqLatency has another process enqueue 50 jobs a second.
func sidekiqLatency(concurrency int) func(context.Context, setting) (result, error) {
	return onSidekiq(concurrency, 500, func(ctx context.Context, q sidekiq) (result, error) {
		r, err := q.work(ctx, func(ctx context.Context) error {
			if err := until(ctx, func() (bool, error) { // every thread waits for a job
				info, err := q.server.Client.InfoMap(ctx, "clients").Result()
				return info["Clients"]["blocked_clients"] == strconv.Itoa(q.concurrency), err
			}); err != nil {
				return err
			}
			return q.produce(ctx, latencyGap)
		})
		r.PerSec, r.RSS, r.CPU = 0, 0, 0
		return r, err
	})
}

// sidekiqDrain runs jobs that were all enqueued before. CPU is that of the worker and the server together.
func sidekiqDrain(concurrency int) func(context.Context, setting) (result, error) {
	return onSidekiq(concurrency, drainOf, func(ctx context.Context, q sidekiq) (result, error) {
		if err := q.produce(ctx, 0); err != nil {
			return result{}, err
		}
		r, err := q.work(ctx, func(context.Context) error { return nil })
		r.P50, r.P99 = 0, 0 // everything was enqueued before: the wait says nothing
		return r, err
	})
}

func (q sidekiq) script() string { return filepath.Join(q.dir, "sidekiq.rb") }

func (q sidekiq) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "REDIS_URL="+q.server.URL()), os.Stderr
	return cmd
}

func (q sidekiq) produce(ctx context.Context, gap time.Duration) error {
	return q.command(ctx, "ruby", q.script(), strconv.Itoa(q.n), strconv.Itoa(q.size), fmt.Sprint(gap.Seconds())).Run()
}

// work runs a worker beside fn and on until the queue is empty, ends it, and says what it did.
func (q sidekiq) work(ctx context.Context, fn func(context.Context) error) (r result, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var out bytes.Buffer
	cmd := q.command(ctx, "sidekiq", "-r", q.script(), "-q", queue, "-c", strconv.Itoa(q.concurrency), "-e", "production")
	cmd.Stdout = &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it finishes the jobs that it has begun
	before := cpu(q.server.Pid())
	if err := cmd.Start(); err != nil {
		return r, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); stop() }()
	if err = fn(ctx); err == nil {
		err = until(ctx, func() (bool, error) {
			left, err := q.server.Client.LLen(ctx, "queue:"+queue).Result()
			return left == 0, err
		})
	}
	u := measure(cmd.Process.Pid)
	r.RSS, r.CPU = u.rss, u.cpu+cpu(q.server.Pid())-before
	stop()
	if exit := <-ended; !errors.Is(exit, context.Canceled) {
		err = fmt.Errorf("sidekiq ended by itself: %v\n%s", exit, out.String())
	}
	if err != nil {
		return r, err
	}
	var said struct {
		Version string
		Seconds float64   // from the begin of the first job to that of the last
		Waits   []float64 // enqueue → begin, in milliseconds
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		return r, fmt.Errorf("sidekiq printed %q: %w", out.String(), err)
	}
	if len(said.Waits) != q.n {
		return r, fmt.Errorf("sidekiq ran %d of %d jobs", len(said.Waits), q.n)
	}
	r.System, r.N, r.Seconds, r.PerSec = "sidekiq "+said.Version, q.n, said.Seconds, float64(q.n)/said.Seconds
	r.P50, r.P99 = percentiles(said.Waits)
	return r, nil
}

// until looks again and again whether something is so.
func until(ctx context.Context, so func() (bool, error)) error {
	for {
		if yes, err := so(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
