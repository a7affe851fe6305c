package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
)

func (p *program) pluginCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "Plugins, their processes and how they are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withStore(cmd.Context(), false, func(store stem.Store) error { return p.listPlugins(cmd.Context(), store) })
		},
	}
	return group("plugin", "The plugins of live daemons", list)
}

// pluginRow is one pool of one daemon.
type pluginRow struct {
	Node string `json:"node"`
	stem.HeartbeatPool
	Tasks []string `json:"tasks"`
}

func (p *program) listPlugins(ctx context.Context, store stem.Store) error {
	beats, err := stem.Heartbeats(ctx, store)
	if err != nil {
		return err
	}
	manifests, err := stem.Manifests(ctx, store)
	if err != nil {
		return err
	}
	tasks := map[string][]string{}
	for _, m := range manifests {
		for _, t := range m.Tasks {
			tasks[m.Node+"/"+m.Plugin] = append(tasks[m.Node+"/"+m.Plugin], t.Name)
		}
	}
	rows := []pluginRow{}
	for _, hb := range beats {
		for _, pool := range hb.Pools {
			rows = append(rows, pluginRow{hb.WorkerID, pool, append([]string{}, tasks[hb.WorkerID+"/"+pool.Plugin]...)})
		}
	}
	if p.json {
		return p.document(rows)
	}
	if len(rows) == 0 {
		p.printf("No plugins: no daemon is running here.\n")
		return nil
	}
	cells := make([][]string, 0, len(rows))
	for _, r := range rows {
		cells = append(cells, []string{
			r.Node, r.Name, dash(r.Version), fmt.Sprintf("%d/%d", r.Up, r.Size), strings.Trim(fmt.Sprint(r.Pids), "[]"),
			fmt.Sprint(r.Restarts), thousands(r.Inflight), fmt.Sprint(len(r.Tasks)), r.State,
		})
	}
	return p.table([]string{"NODE", "POOL", "VERSION", "UP", "PIDS", "RESTARTS", "RUNNING", "TASKS", "STATE"}, cells)
}
