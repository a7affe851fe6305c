package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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
	release := &cobra.Command{
		Use: "release NAME", Short: "Have a quarantined plugin tried again now, on every daemon", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withStore(cmd.Context(), false, func(store stem.Store) error { return p.releasePlugin(cmd.Context(), store, args[0]) })
		},
	}
	return group("plugin", "The plugins of live daemons", list, release)
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
			fmt.Sprint(r.Restarts), thousands(r.Inflight), fmt.Sprint(len(r.Tasks)), dash(strings.Join(r.Limits, "; ")), r.State,
		})
	}
	return p.table([]string{"NODE", "POOL", "VERSION", "UP", "PIDS", "RESTARTS", "RUNNING", "TASKS", "LIMITS", "STATE"}, cells)
}

// releaseTTL bounds how long a request waits for its daemon.
const releaseTTL = 5 * time.Minute

// releasePlugin asks each daemon that has quarantined the plugin to try it now.
func (p *program) releasePlugin(ctx context.Context, store stem.Store, name string) error {
	beats, err := stem.Heartbeats(ctx, store)
	if err != nil {
		return err
	}
	var writes []stem.RecordWrite
	nodes, known := []string{}, false
	for _, hb := range beats {
		for _, pool := range hb.Pools {
			known = known || pool.Plugin == name
			if pool.Plugin != name || !pool.Quarantined || slices.Contains(nodes, hb.WorkerID) {
				continue
			}
			nodes = append(nodes, hb.WorkerID)
			writes = append(writes, stem.RecordWrite{Record: stem.Record{
				RecordRef: stem.RecordRef{Kind: stem.KindRelease, ID: hb.WorkerID + "/" + name}, Expires: time.Now().Add(releaseTTL),
			}})
		}
	}
	switch {
	case !known:
		return usageError("no live daemon has a plugin %q: stem plugin list", name)
	case len(writes) > 0:
		if _, err := store.Records.Save(ctx, writes...); err != nil {
			return err
		}
	}
	if p.json {
		return p.document(map[string]any{"plugin": name, "nodes": nodes})
	}
	if len(nodes) == 0 {
		p.printf("Plugin %s is not quarantined.\n", name)
		return nil
	}
	p.printf("Asked %s to try plugin %s now: stem plugin list\n", strings.Join(nodes, ", "), name)
	return nil
}
