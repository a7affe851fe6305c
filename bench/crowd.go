package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
)

const (
	crowdProducers = 3
	crowdSeconds   = 60
)

// flooded is what one producer of sqliteCrowd says: how long each single enqueue took, in milliseconds.
type flooded struct {
	N        int
	P50, P99 float64
}

// sqliteCrowd has a daemon, three producers that enqueue one by one as fast as they can, and the command line work on one file for
// a minute (-n: seconds). Every command and every enqueue must succeed, and every task. P50 and p99 are those of single enqueues,
// of the producer that fared worst; RSS is the largest size of the -wal file.
func sqliteCrowd(ctx context.Context, s setting) (r result, err error) {
	seconds := s.n
	if seconds == 0 {
		seconds = crowdSeconds
	}
	file := filepath.Join(s.dir, "stem.db")
	url := "sqlite://" + file
	store, err := sqlite.Open(ctx, url)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	d, err := startStemd(ctx, s, store, url, shared)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()

	flood, stop := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer stop()
	said := make([]flooded, crowdProducers)
	errs := make([]error, crowdProducers+1)
	var others sync.WaitGroup
	for i := range said {
		others.Go(func() { errs[i] = runFlood(ctx, url, seconds, &said[i]) })
	}
	others.Go(func() { errs[crowdProducers] = runCommands(flood, s, url) })
	others.Go(func() {
		for tick := time.NewTicker(50 * time.Millisecond); flood.Err() == nil; <-tick.C {
			if st, err := os.Stat(file + "-wal"); err == nil {
				r.RSS = max(r.RSS, float64(st.Size())/(1<<20))
			}
		}
	})
	begun := time.Now()
	others.Wait()
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	if err := drained(ctx, store); err != nil {
		return r, err
	}
	r.Seconds = time.Since(begun).Seconds()
	for _, f := range said {
		r.N += f.N
		r.P50, r.P99 = max(r.P50, f.P50), max(r.P99, f.P99)
	}
	r.PerSec, r.CPU = float64(r.N)/r.Seconds, measure(d.cmd.Process.Pid).cpu
	return r, nil
}

func runFlood(ctx context.Context, url string, seconds int, said *flooded) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "-flood", url, "-n", strconv.Itoa(seconds))
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return json.Unmarshal(out.Bytes(), said)
}

// runCommands runs the command line again and again until ctx ends.
func runCommands(ctx context.Context, s setting, url string) error {
	for ctx.Err() == nil {
		for _, args := range [][]string{{"observe", "queues"}, {"task", "list"}, {"health"}, {"enqueue", task, `{"pad":"x"}`}} {
			cmd := exec.Command(filepath.Join(s.bin, "stem"), append([]string{"--broker", url}, args...)...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("stem %v: %w\n%s", args, err, out)
			}
		}
	}
	return nil
}

// flooder is one producer of sqliteCrowd.
func flooder(ctx context.Context, url string, seconds int) (err error) {
	store, err := sqlite.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	client := stem.NewClient(store)
	var took []float64
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		begun := time.Now()
		if _, err := client.Enqueue(ctx, task, body(200), stem.Queue(queue)); err != nil {
			return err
		}
		took = append(took, time.Since(begun).Seconds()*1000)
	}
	f := flooded{N: len(took)}
	f.P50, f.P99 = percentiles(took)
	return json.NewEncoder(os.Stdout).Encode(f)
}
