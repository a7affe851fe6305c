// Command bench measures Stem and prints a table; each case is also one JSON line in results.jsonl. `make bench` builds what it
// runs. Figures compare within one run on one machine; none is ever asserted by a test. The cases of Sidekiq need it and Ruby
// installed, on Debian ruby and ruby-sidekiq; a case that fails is told at the end and keeps no other from running.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"text/tabwriter"
)

// result is one line of results.jsonl. Latencies are in milliseconds; absent figures are 0.
type result struct {
	System  string  `json:"system"`
	Case    string  `json:"case"`
	N       int     `json:"n"`
	Seconds float64 `json:"seconds"`
	PerSec  float64 `json:"per_sec"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	RSS     float64 `json:"rss_mb"`
	CPU     float64 `json:"cpu_s"`
	Ratio   float64 `json:"ratio,omitempty"` // to the same without something, in the same run
	// Versus, of another system, is how Stem's result of the same case compares.
	Versus *comparison `json:"versus,omitempty"`
	target string
}

// setting is what every case gets.
type setting struct {
	bin  string // directory of stemd and the example plugins
	dir  string // scratch directory of this case
	size int    // body bytes
	n    int    // tasks; 0: the case's own number
}

// count is how many tasks a case runs.
func (s setting) count(own int) int { return cmp.Or(s.n, own) }

var cases = []struct {
	name   string
	target string
	run    func(context.Context, setting) (result, error)
}{
	{"memory drain", "≥ 100,000/s", memoryDrain(1, shared)},
	{"memory drain, one task a process, 2 processes", "≥ 50,000/s", memoryDrain(2, 1)},
	{"register, evidence and capture, one task a process", "ratio ≥ 0.95", supervision(memoryLoad{processes: 2, perProcess: 1})},
	{"register, evidence and capture, shared process", "ratio ≥ 0.95", supervision(memoryLoad{processes: 1, perProcess: shared})},
	{"the same, every task prints a line", "", supervision(memoryLoad{processes: 2, perProcess: 1, task: "chaos.say"})},
	{"hard limit → dead and reported", "p99 ≤ 20 ms", overLimit},
	{"crash → noticed", "p99 ≤ 3 ms", noticed},
	{"dead → next task starts, by respawn", "p50 ≤ 20 ms", replaced(0)},
	{"dead → next task starts, with a spare", "p50 ≤ 5 ms", replaced(1)},
	{"sqlite drain, synchronous=normal", "≥ 25,000/s", sqliteDrain("normal")},
	{"sqlite drain, synchronous=full", "≥ 20,000/s", sqliteDrain("full")},
	{"sqlite batch enqueue", "≥ 50,000/s", sqliteEnqueue},
	{"sqlite enqueue → start from idle", "p50 ≤ 1 ms, p99 ≤ 5 ms", sqliteLatency},
	{"sqlite settled → Wait returns elsewhere", "p50 ≤ 5 ms", sqliteWait},
	{"sqlite, 1 daemon, 3 producers, commands, a minute", "p99 ≤ 250 ms; RSS: -wal, bounded", sqliteCrowd},
	{"sqlite claim and settle, backlog 1,000", "", backlog(smallBacklog)},
	{"sqlite claim and settle, backlog 1,000,000", "≥ 90 % of 1,000", backlog(bigBacklog)},
	{"sqlite 1,000,000 delayed, then due", "≥ 20,000/s", sqliteDelayed},
	{"sqlite cycles: p50 first tenth, p99 last", "flat", cycles},
	{"redis drain, concurrency 10", "≥ 8 × asynq", redisDrain(10)},
	{"redis drain, concurrency 10", "", asynqDrain(10)},
	{"redis drain, concurrency 10", "", sidekiqDrain(10)},
	{"redis drain, concurrency 64", "", redisDrain(64)},
	{"redis drain, concurrency 64", "", asynqDrain(64)},
	{"redis batch enqueue", "≥ 150,000/s", redisBatches(200_000)},
	{"redis enqueue one by one, 1 producer", "≥ asynq", redisSingles(1)},
	{"redis enqueue one by one, 1 producer", "", asynqSingles(1)},
	{"redis enqueue one by one, 8 producers", "≥ 1.2 × asynq", redisSingles(8)},
	{"redis enqueue one by one, 8 producers", "", asynqSingles(8)},
	{"redis enqueue → start at 50/s", "p50 ≤ 0.8 ms, p99 ≤ 1.5 ms; < peers", redisLatency(latencyGap, 500)},
	{"redis enqueue → start at 50/s", "", sidekiqLatency(10)},
	{"redis enqueue → start at 50/s", "", asynqLatency},
	{"redis enqueue → start from idle, 4 a second", "p50 ≤ 1 ms", redisLatency(idleGap, 80)},
	{"redis claim and settle, backlog 1,000", "", redisBacklog(smallBacklog)},
	{"redis claim and settle, backlog 1,000,000", "like 1,000", redisBacklog(bigBacklog)},
	{"redis 1,000,000 delayed, then due", "≥ 20,000/s", redisDelayed},
	{"redis memory, 100,000 waiting tasks", "", redisMemory(false)},
	{"redis memory, 100,000 results", "", redisMemory(true)},
	{"redis, 20 idle daemons", "server ≤ 1 %; p50: % of each, ≤ 0.5", redisIdle},
	{"64 idle processes; RSS: PSS of each", "≤ 6 MB; stemd ≤ 1 % CPU", idleMany(64)},
	{"stemd idle, one plugin", "≤ 35 MB, ≤ 0.5 % CPU", idle},
}

func main() {
	bin := flag.String("bin", "../bin", "directory of stemd and the example plugins")
	out := flag.String("out", "results.jsonl", "file the lines are appended to")
	only := flag.String("run", "", "regular expression: cases to run")
	n := flag.Int("n", 0, "tasks per case; 0: each case's own number")
	produce := flag.String("produce", "", "internal: be the producer of the latency case on this store")
	gap := flag.Duration("gap", latencyGap, "internal: the producer's pause after each task")
	await := flag.String("await", "", "internal: be the waiter of the wait case on this store")
	flood := flag.String("flood", "", "internal: be a producer of the crowd case on this store")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *produce != "":
		err = producer(ctx, *produce, *n, *gap)
	case *await != "":
		err = waiter(ctx, *await, *n)
	case *flood != "":
		err = flooder(ctx, *flood, *n)
	default:
		err = run(ctx, *bin, *out, *only, *n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, out, only string, n int) error {
	pick, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	file, err := os.OpenFile(out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	var results []result
	var failed error
	for _, c := range cases {
		if !pick.MatchString(c.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s …\n", c.name)
		dir, err := os.MkdirTemp("", "stem-bench")
		if err != nil {
			return err
		}
		r, err := c.run(ctx, setting{bin: bin, dir: dir, size: 200, n: n})
		_ = os.RemoveAll(dir)
		if err != nil {
			if failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err)); ctx.Err() != nil {
				break
			}
			continue
		}
		r.System, r.Case, r.target = cmp.Or(r.System, "stem"), c.name, c.target
		r.Versus = versus(results, r)
		results = append(results, r)
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(file, "%s\n", line); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "SYSTEM\tCASE\tN\tSECONDS\tPER SEC\tP50 MS\tP99 MS\tRSS MB\tCPU S\tRATIO\tTARGET\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s\t%d\t%.2f\t%.0f\t%.2f\t%.2f\t%.1f\t%.2f\t%s\t%s\t\n", r.System, r.Case, r.N, r.Seconds, r.PerSec, r.P50, r.P99, r.RSS, r.CPU, ratio(r.Ratio), r.target)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.Versus != nil {
			fmt.Println(r.Versus.sentence(r))
		}
	}
	return failed
}
