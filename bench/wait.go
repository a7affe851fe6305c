package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
)

// sqliteWait lets another process enqueue one task at a time and wait for it: settled → Wait returns.
func sqliteWait(ctx context.Context, s setting) (r result, err error) {
	n := cmp.Or(s.n, 300)
	err = besideStemd(ctx, s, func(_ stem.Store, url string, d *stemd) error {
		var out bytes.Buffer
		begun := time.Now()
		if err := apart(ctx, "-await", url, n, &out); err != nil {
			return err
		}
		var waits []float64
		if err := json.Unmarshal(out.Bytes(), &waits); err != nil {
			return err
		}
		u := measure(d.cmd.Process.Pid)
		r = result{N: n, Seconds: time.Since(begun).Seconds(), RSS: u.rss, CPU: u.cpu}
		r.P50, r.P99 = percentiles(waits)
		return nil
	})
	return r, err
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
