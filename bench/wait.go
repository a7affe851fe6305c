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
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
)

// sqliteWait lets another process enqueue one task at a time and wait for it: settled → Wait returns.
func sqliteWait(ctx context.Context, s setting) (r result, err error) {
	n := s.n
	if n == 0 {
		n = 300
	}
	url := "sqlite://" + filepath.Join(s.dir, "stem.db")
	store, err := sqlite.Open(ctx, url)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	d, err := startStemd(ctx, s, store, url, 1)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "-await", url, "-n", strconv.Itoa(n))
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return r, err
	}
	var waits []float64
	if err := json.Unmarshal(out.Bytes(), &waits); err != nil {
		return r, err
	}
	u := measure(d.cmd.Process.Pid)
	r = result{N: n, Seconds: time.Since(begun).Seconds(), RSS: u.rss, CPU: u.cpu}
	r.P50, r.P99 = percentiles(waits)
	return r, nil
}

// waiter is the other process of sqliteWait: it prints how long after its settlement each wait returned, in milliseconds.
func waiter(ctx context.Context, url string, n int) (err error) {
	store, err := sqlite.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	client := stem.NewClient(store)
	var waits []float64
	for range n {
		h, err := client.Enqueue(ctx, task, body(200), stem.Queue(queue))
		if err != nil {
			return err
		}
		status, err := h.Wait(ctx)
		if err != nil {
			return err
		}
		waits = append(waits, time.Since(status.UpdatedAt).Seconds()*1000)
		time.Sleep(latencyGap)
	}
	b, err := json.Marshal(waits)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(b))
	return err
}
