package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
)

func (p *program) observeCommand() *cobra.Command {
	run := func(use, short string, fn func(context.Context, stem.Store) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withStore(cmd.Context(), false, func(store stem.Store) error { return fn(cmd.Context(), store) })
		}}
	}
	return group("observe", "Queues, workers, dead letters at a glance",
		run("queues", "Tasks in each queue and the pool that runs them", p.observeQueues),
		run("workers", "The daemons that are up", p.observeWorkers),
		run("dlq", "Dead letters by queue and reason", p.observeDead),
	)
}

// queueRow is one queue with what waits for it in parked lanes.
type queueRow struct {
	stem.QueueCounts
	Parked   int    `json:"parked"`
	OldestMS int64  `json:"oldestMs"`
	Pool     string `json:"pool"`
	State    string `json:"state"`
}

func (p *program) observeQueues(ctx context.Context, store stem.Store) error {
	inspector, err := inspectorOf(store)
	if err != nil {
		return err
	}
	counts, missing := inspector.Queues(ctx)
	if nothing(missing, len(counts)) {
		return missing
	}
	beats, unheard := stem.Heartbeats(ctx, store)
	if nothing(unheard, len(counts)) {
		return unheard
	}
	rows := queueRows(counts, beats)
	for i := range rows {
		if unheard != nil {
			rows[i].State = "daemons not known"
		}
	}
	if missing = errors.Join(missing, unheard); p.json {
		return errors.Join(p.document(rows), missing)
	}
	if len(rows) == 0 {
		p.printf("No queue data.\n")
		return nil
	}
	cells := make([][]string, 0, len(rows))
	for _, r := range rows {
		oldest := "–"
		if r.Oldest > 0 {
			oldest = ago(r.Oldest)
		}
		cells = append(cells, []string{
			r.Queue, thousands(r.Ready), thousands(r.Delayed), thousands(r.Running), thousands(r.Parked), thousands(r.Dead), oldest, dash(r.Pool), r.State,
		})
	}
	return errors.Join(p.table([]string{"QUEUE", "READY", "DELAYED", "RUNNING", "PARKED", "DEAD", "OLDEST", "POOL", "STATE"}, cells), missing)
}

// nothing says that an error leaves nothing to show. Where a part of the store can not be reached, what the others have is shown, and then
// the error is told.
func nothing(err error, items int) bool {
	return err != nil && (items == 0 || !errors.Is(err, stem.ErrUnreachable))
}

// queueRows joins counts and heartbeats; parked lanes count at the default queue, where tasks nobody knows come in.
func queueRows(counts []stem.QueueCounts, beats []stem.Heartbeat) []queueRow {
	byName := map[string]*queueRow{}
	row := func(name string) *queueRow {
		r := byName[name]
		if r == nil {
			r = &queueRow{QueueCounts: stem.QueueCounts{Queue: name}}
			byName[name] = r
		}
		return r
	}
	var parked []string
	for _, c := range counts {
		if task, lane := strings.CutPrefix(c.Queue, stem.ParkedPrefix); lane {
			r := row(stem.DefaultQueue)
			n := c.Ready + c.Delayed + c.Running
			r.Parked, r.Oldest, r.Dead = r.Parked+n, max(r.Oldest, c.Oldest), r.Dead+c.Dead
			if n > 0 {
				parked = append(parked, fmt.Sprintf("%d parked: no plugin declares %q", n, task))
			}
			continue
		}
		r := row(c.Queue)
		parkedHere, oldest, dead := r.Parked, r.Oldest, r.Dead
		r.QueueCounts = c
		r.Parked, r.Oldest, r.Dead = parkedHere, max(oldest, c.Oldest), c.Dead+dead
	}
	for _, hb := range beats {
		for _, q := range hb.Queues {
			r := row(q.Name)
			for _, pool := range hb.Pools {
				if pool.Name == q.Pool {
					r.Pool, r.State = fmt.Sprintf("%s %d/%d", pool.Name, pool.Up, pool.Size), pool.State
				}
			}
		}
	}
	out := make([]queueRow, 0, len(byName))
	for _, r := range byName {
		switch {
		case r.Queue == stem.DefaultQueue && len(parked) > 0:
			r.State = strings.Join(parked, "; ")
		case r.State == "" && r.Ready+r.Delayed+r.Running > 0 && len(beats) == 0:
			r.State = "no daemon is running"
		case r.State == "" && r.Ready+r.Delayed+r.Running > 0 && r.Queue != stem.DefaultQueue:
			r.State = "no pool runs this queue"
		case r.State == "":
			r.State = "ok"
		}
		r.OldestMS = r.Oldest.Milliseconds()
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b queueRow) int { return cmp.Compare(a.Queue, b.Queue) })
	return out
}

func (p *program) observeWorkers(ctx context.Context, store stem.Store) error {
	beats, err := stem.Heartbeats(ctx, store)
	if err != nil {
		return err
	}
	if p.json {
		return p.document(beats)
	}
	if len(beats) == 0 {
		p.printf("No worker data.\n")
		return nil
	}
	rows := make([][]string, 0, len(beats))
	for _, hb := range beats {
		var pools []string
		for _, pool := range hb.Pools {
			pools = append(pools, fmt.Sprintf("%s %d/%d", pool.Name, pool.Up, pool.Size))
		}
		rows = append(rows, []string{
			hb.WorkerID, fmt.Sprint(hb.Extras.Pid), hb.Version, thousands(hb.Inflight), strings.Join(pools, ", "),
			thousands(int(hb.Extras.Completed)), thousands(int(hb.Extras.Failed)), ago(time.Since(hb.Timestamp)) + " ago" + stale(hb),
		})
	}
	return p.table([]string{"WORKER", "PID", "VERSION", "ACTIVE", "POOLS", "DONE", "FAILED", "LAST HEARTBEAT"}, rows)
}

// stale marks a daemon that is gone or has missed two heartbeats.
func stale(hb stem.Heartbeat) string {
	if lost(hb) {
		return " (process gone)"
	}
	if time.Since(hb.Timestamp) > 2*hb.Interval {
		return " (stale)"
	}
	return ""
}

func (p *program) observeDead(ctx context.Context, store stem.Store) error {
	inspector, err := inspectorOf(store)
	if err != nil {
		return err
	}
	page, missing := inspector.DeadLetters(ctx, stem.DeadLetterQuery{Limit: 1000})
	if nothing(missing, len(page.Items)) {
		return missing
	}
	if p.json {
		return errors.Join(p.document(deadDocuments(page.Items)), missing)
	}
	if len(page.Items) == 0 {
		p.printf("Dead letter queue is empty.\n")
		return nil
	}
	type kind struct{ queue, task, reason string }
	count, newest := map[kind]int{}, map[kind]stem.DeadLetter{}
	var order []kind
	for _, d := range page.Items {
		k := kind{d.Message.Queue, d.Message.Name, d.Reason}
		if count[k]++; count[k] == 1 {
			order, newest[k] = append(order, k), d
		}
	}
	rows := make([][]string, 0, len(order))
	for _, k := range order {
		d := newest[k]
		rows = append(rows, []string{k.queue, k.task, k.reason, thousands(count[k]), ago(time.Since(d.DeadAt)) + " ago", d.Message.ID, why(d)})
	}
	if err := p.table([]string{"QUEUE", "TASK", "REASON", "COUNT", "NEWEST", "TASK ID", "ERROR"}, rows); err != nil {
		return err
	}
	if page.More {
		p.printf("of the newest %s; stem dlq list --queue NAME shows them all\n", thousands(len(page.Items)))
	}
	return missing
}
