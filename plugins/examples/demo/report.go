package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/stemd/stem"
	"golang.org/x/term"
)

// totals is what became of the demo's tasks.
type totals struct {
	done, failed, running int
	begun                 time.Time
	elapsed               time.Duration
	statuses              map[string]*stem.Status
}

func printPools(ctx context.Context, store stem.Store) error {
	beats, err := store.Records.List(ctx, stem.RecordQuery{Kind: stem.KindHeartbeat})
	if err != nil {
		return err
	}
	manifests, err := store.Records.List(ctx, stem.RecordQuery{Kind: stem.KindManifest})
	if err != nil {
		return err
	}
	pids := map[string][]int{}
	for _, r := range beats.Items {
		var hb stem.Heartbeat
		if err := json.Unmarshal(r.Body, &hb); err != nil {
			return err
		}
		for _, p := range hb.Pools {
			pids[p.Plugin] = p.Pids
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, r := range manifests.Items {
		var m stem.PluginManifest
		if err := json.Unmarshal(r.Body, &m); err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s\t%s\tpid %s\t%s\n", m.Plugin, m.Version, strings.Trim(fmt.Sprint(pids[m.Plugin]), "[]"), taskNames(m.Tasks))
	}
	return w.Flush()
}

func taskNames(tasks []stem.TaskSpec) string {
	var names []string
	for _, t := range tasks {
		names = append(names, t.Name)
	}
	if len(names) > 3 {
		return fmt.Sprintf("%s … (%d)", strings.Join(names[:3], " "), len(names))
	}
	return strings.Join(names, " ")
}

// watch shows progress until every task has ended.
func watch(ctx context.Context, store stem.Store, ids []string) (*totals, error) {
	t := &totals{begun: time.Now(), statuses: make(map[string]*stem.Status, len(ids))}
	live := term.IsTerminal(int(os.Stdout.Fd()))
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	open := ids
	for {
		var err error
		if open, err = t.refresh(ctx, store, open); err != nil {
			return nil, err
		}
		t.elapsed = time.Since(t.begun)
		if live {
			fmt.Printf("\r%s\x1b[K", t.line(len(ids)))
		}
		if len(open) == 0 {
			if live {
				fmt.Println()
			} else {
				fmt.Println(t.line(len(ids)))
			}
			return t, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.New("interrupted; unfinished tasks wait in the store for the next stemd -dev")
		}
	}
}

// refresh looks at the tasks that were open and returns those that still are.
func (t *totals) refresh(ctx context.Context, store stem.Store, open []string) ([]string, error) {
	var still []string
	t.running = 0
	for batch := range slices.Chunk(open, 500) {
		statuses, err := store.Results.Load(ctx, batch...)
		if err != nil {
			return nil, err
		}
		for i, s := range statuses {
			switch {
			case s == nil:
				return nil, fmt.Errorf("task %s is unknown to the store", batch[i])
			case s.State == stem.Succeeded:
				t.done++
			case s.State.Terminal():
				t.failed++
			case s.State == stem.Running:
				t.running++
			}
			if s.State.Terminal() {
				t.statuses[s.ID] = s
			} else {
				still = append(still, s.ID)
			}
		}
		// Tasks run in the order they were enqueued: behind a batch without an end there is hardly one, so look no further.
		if len(still) == len(batch) {
			rest := open[slices.Index(open, batch[len(batch)-1])+1:]
			return append(still, rest...), nil
		}
	}
	return still, nil
}

func (t *totals) line(all int) string {
	const width = 24
	ended := t.done + t.failed
	bar := strings.Repeat("█", width*ended/all) + strings.Repeat(" ", width-width*ended/all)
	rate := float64(ended) / t.elapsed.Seconds()
	return fmt.Sprintf("  done %s   failed %d   running %d   ▕%s▏ %d %%   %s tasks/s",
		thousands(t.done), t.failed, t.running, bar, 100*ended/all, thousands(int(rate)))
}

func report(ctx context.Context, store stem.Store, t *totals, bin, thumbnails string, ids []string) error {
	files, err := filepath.Glob(filepath.Join(thumbnails, "*"))
	if err != nil {
		return err
	}
	var waits, runs []time.Duration
	for _, s := range t.statuses {
		waits = append(waits, s.StartedAt.Sub(s.EnqueuedAt))
		runs = append(runs, s.FinishedAt.Sub(s.StartedAt))
	}
	fmt.Printf("thumbnails   %s (%d files)\n", tilde(thumbnails), len(files))
	fmt.Printf("latency      handler p50 %s, p99 %s   enqueue → start p50 %s, p99 %s (all were enqueued at once)\n",
		percentile(runs, 50), percentile(runs, 99), percentile(waits, 50), percentile(waits, 99))

	inspector, ok := store.Broker.(stem.Inspector)
	if !ok {
		return fmt.Errorf("store %s: dead letters: %w", store.Info.Kind, stem.ErrUnsupported)
	}
	var failed []string
	for _, id := range ids {
		if s := t.statuses[id]; s.State == stem.Failed {
			failed = append(failed, id)
		}
	}
	if len(failed) == 0 {
		fmt.Println("dead letters 0")
		return nil
	}
	page, err := inspector.DeadLetters(ctx, stem.DeadLetterQuery{IDs: failed, Limit: 20})
	if err != nil {
		return err
	}
	fmt.Printf("dead letters %d\n", len(failed))
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, dl := range page.Items {
		why := dl.Reason
		if dl.Error != nil {
			why = dl.Error.Message + " (" + dl.Reason + ", not retried)"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", dl.Message.ID, dl.Message.Name, why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("next: %[1]s/stem dlq list · %[1]s/stem dlq show --id %[2]s · %[1]s/stem task list\n", bin, failed[0])
	fmt.Printf("      %[1]s/stemd -dev %[1]s/media %[1]s/archive %[1]s/chaos   and then   %[1]s/stem enqueue chaos.panic --wait · %[1]s/stem observe queues\n", bin)
	return nil
}

func percentile(d []time.Duration, p int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	v := d[min(len(d)-1, len(d)*p/100)]
	if v < 10*time.Millisecond {
		return v.Round(10 * time.Microsecond)
	}
	return v.Round(time.Millisecond)
}
