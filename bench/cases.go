package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/all"
	"github.com/stemd/stem/adapters/memory"
	"github.com/stemd/stem/adapters/sqlite"
	"github.com/stemd/stem/daemon/worker"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

const shared = 64 // per_process of the throughput cases

// memoryLoad is a drain by the worker in this process over the memory store, the handlers in so many real plugin processes.
type memoryLoad struct {
	processes, perProcess int
	task                  string // empty: the no-op
	bare                  bool   // see host.Config
}

func memoryDrain(processes, perProcess int) func(context.Context, setting) (result, error) {
	return func(ctx context.Context, s setting) (result, error) {
		return memoryLoad{processes: processes, perProcess: perProcess}.drain(ctx, s, s.count(400_000))
	}
}

func (l memoryLoad) drain(ctx context.Context, s setting, n int) (result, error) {
	store, err := memory.Open(ctx, "memory://")
	if err != nil {
		return result{}, err
	}
	defer store.Close()
	ids, err := enqueueTask(ctx, store, cmp.Or(l.task, task), n, s.size)
	if err != nil {
		return result{}, err
	}
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn})
	newPool := func(sink plugin.Sink) worker.Runner {
		pool, err := host.New(host.Config{
			Name: "chaos", Plugin: "chaos", Command: []string{filepath.Join(s.bin, "chaos")},
			Processes: host.Processes{Min: l.processes, Max: l.processes}, PerProcess: l.perProcess, Dir: s.dir, Bare: l.bare,
		}, sink, log)
		if err != nil {
			panic(err)
		}
		return pool
	}
	w, err := worker.New(worker.Config{
		Node: "bench", Boot: "bench",
		Pools: []worker.Pool{{Name: "chaos", Plugin: "chaos", Queues: map[string]int{queue: 1}, New: newPool}},
	}, store, log)
	if err != nil {
		return result{}, err
	}
	before := measure(os.Getpid())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	if err := drained(ctx, store); err != nil {
		return result{}, err
	}
	after := measure(os.Getpid())
	w.Shutdown(worker.Warm)
	if err := <-done; err != nil {
		return result{}, err
	}
	r, err := outcome(ctx, store, ids)
	r.P50, r.P99 = 0, 0 // everything was enqueued before: the wait says nothing
	r.RSS, r.CPU = after.rss, after.cpu-before.cpu
	return r, err
}

func sqliteDrain(synchronous string) func(context.Context, setting) (result, error) {
	return func(ctx context.Context, s setting) (r result, err error) {
		n := s.n
		if n == 0 {
			n = 100_000
		}
		url := "sqlite://" + filepath.Join(s.dir, "stem.db") + "?synchronous=" + synchronous
		store, err := sqlite.Open(ctx, url)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		ids, err := enqueue(ctx, store, n, s.size)
		if err != nil {
			return r, err
		}
		d, err := startStemd(ctx, s, store, url, shared)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, d.stop()) }()
		if err := drained(ctx, store); err != nil {
			return r, err
		}
		u := measure(d.cmd.Process.Pid)
		r, err = outcome(ctx, store, ids)
		r.P50, r.P99 = 0, 0
		r.RSS, r.CPU = u.rss, u.cpu
		return r, err
	}
}

func sqliteEnqueue(ctx context.Context, s setting) (r result, err error) {
	n := s.n
	if n == 0 {
		n = 200_000
	}
	store, err := sqlite.Open(ctx, "sqlite://"+filepath.Join(s.dir, "stem.db"))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	before, begun := measure(os.Getpid()), time.Now()
	if _, err := enqueue(ctx, store, n, s.size); err != nil {
		return r, err
	}
	seconds := time.Since(begun).Seconds()
	after := measure(os.Getpid())
	return result{N: n, Seconds: seconds, PerSec: float64(n) / seconds, RSS: after.rss, CPU: after.cpu - before.cpu}, nil
}

// latencyGap is the pause between two tasks of the latency case: long enough for the daemon to be idle again.
const latencyGap = 20 * time.Millisecond

// idleGap is a pause after which whatever is done only for a while after a task is over.
const idleGap = 250 * time.Millisecond

// besideStemd runs fn on a SQLite file that a stemd with one no-op process works on.
func besideStemd(ctx context.Context, s setting, fn func(store stem.Store, url string, d *stemd) error) (err error) {
	url := "sqlite://" + filepath.Join(s.dir, "stem.db")
	store, err := sqlite.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	d, err := startStemd(ctx, s, store, url, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	return fn(store, url, d)
}

// apart runs this program again as the other process of a case.
func apart(ctx context.Context, mode, url string, n int, out io.Writer, more ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{mode, url, "-n", strconv.Itoa(n)}, more...)...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return cmd.Run()
}

// sqliteLatency lets another process enqueue one task at a time on the same file.
func sqliteLatency(ctx context.Context, s setting) (r result, err error) {
	n := cmp.Or(s.n, 500)
	err = besideStemd(ctx, s, func(store stem.Store, url string, d *stemd) (err error) {
		r, err = latency(ctx, store, url, n, latencyGap)
		u := measure(d.cmd.Process.Pid)
		r.RSS, r.CPU = u.rss, u.cpu
		return err
	})
	return r, err
}

// latency lets another process enqueue n tasks, one after each gap, and says how long it took from right before each call that enqueues to
// the begin of the handler, by the clock of this machine.
func latency(ctx context.Context, store stem.Store, url string, n int, gap time.Duration) (r result, err error) {
	var out bytes.Buffer
	if err := apart(ctx, "-produce", url, n, &out, "-gap", gap.String()); err != nil {
		return r, err
	}
	sent := map[string]int64{}
	if err := json.Unmarshal(out.Bytes(), &sent); err != nil {
		return r, err
	}
	if err := drained(ctx, store); err != nil {
		return r, err
	}
	r, err = outcomeSince(ctx, store, slices.Collect(maps.Keys(sent)), func(s *stem.Status) time.Time { return time.UnixMicro(sent[s.ID]) })
	r.PerSec = 0
	return r, err
}

// producer is the other process of the latency cases. It prints when it began to enqueue each task, in microseconds by its id.
func producer(ctx context.Context, url string, n int, gap time.Duration) (err error) {
	store, err := all.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	client, sent, args := stem.NewClient(store), make(map[string]int64, n), body(200)
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for range n {
		begun := time.Now()
		h, err := client.Enqueue(ctx, task, args, stem.Queue(queue))
		if err != nil {
			return err
		}
		sent[h.ID()] = begun.UnixMicro()
		<-tick.C
	}
	return json.NewEncoder(os.Stdout).Encode(sent)
}

// idle watches a daemon with nothing to do. CPU is seconds over the time watched: 0.1 in 20 s is 0.5 %.
func idle(ctx context.Context, s setting) (r result, err error) {
	const settle, watched = 5 * time.Second, 20 * time.Second
	url := "sqlite://" + filepath.Join(s.dir, "stem.db")
	store, err := sqlite.Open(ctx, url)
	if err != nil {
		return r, err
	}
	d, err := startStemd(ctx, s, store, url, 1)
	err = errors.Join(err, store.Close())
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	time.Sleep(settle)
	before := measure(d.cmd.Process.Pid)
	time.Sleep(watched)
	after := measure(d.cmd.Process.Pid)
	return result{N: 1, Seconds: watched.Seconds(), RSS: after.rss, CPU: after.cpu - before.cpu}, nil
}

// idleMany watches a daemon and its many plugin processes with nothing to do: RSS is their average share of memory, CPU the daemon's
// own seconds over the time watched.
func idleMany(processes int) func(context.Context, setting) (result, error) {
	return func(ctx context.Context, s setting) (r result, err error) {
		const settle, watched = 5 * time.Second, 20 * time.Second
		url := "sqlite://" + filepath.Join(s.dir, "stem.db")
		store, err := sqlite.Open(ctx, url)
		if err != nil {
			return r, err
		}
		d, err := startStemds(ctx, s, store, url, processes, 1)
		err = errors.Join(err, store.Close())
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, d.stop()) }()
		pid := d.cmd.Process.Pid
		for len(children(pid)) < processes {
			select {
			case <-ctx.Done():
				return r, ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
		}
		time.Sleep(settle)
		before := cpu(pid)
		time.Sleep(watched)
		r = result{N: processes, Seconds: watched.Seconds(), CPU: cpu(pid) - before}
		for _, child := range children(pid) {
			r.RSS += pss(child) / float64(processes)
		}
		return r, nil
	}
}
