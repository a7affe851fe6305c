package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/proc"
)

// check is one line of stem health.
type check struct {
	Component string        `json:"component"`
	Status    string        `json:"status"` // ok, warning, error
	Message   string        `json:"message"`
	Hints     []string      `json:"hints,omitempty"`
	Context   *checkContext `json:"context,omitempty"`
}

func (p *program) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Is the store reachable, are daemons claiming, are plugins up", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks, err := p.health(cmd.Context())
			if err != nil {
				return err
			}
			bad := 0
			for _, c := range checks {
				if c.Status == "error" {
					bad++
				}
			}
			if p.json {
				if err := p.document(checks); err != nil {
					return err
				}
			} else if err := p.printHealth(checks); err != nil {
				return err
			}
			if bad > 0 {
				return fmt.Errorf("%s not well", plural(bad, "component"))
			}
			return nil
		},
	}
}

func (p *program) printHealth(checks []check) error {
	p.printf("Health checks\n")
	rows := make([][]string, 0, len(checks))
	for _, c := range checks {
		rows = append(rows, []string{"  " + c.Component, c.Status, c.Message})
		for _, h := range c.Hints {
			rows = append(rows, []string{"", "", h})
		}
	}
	return p.rows(rows)
}

func (p *program) health(ctx context.Context) ([]check, error) {
	broker, results, err := p.where()
	if err != nil {
		return nil, err
	}
	var checks []check
	if strings.HasPrefix(broker.URL, "rediss://") || strings.HasPrefix(results.URL, "rediss://") {
		checks = append(checks, tlsCheck(p.tls, time.Now()))
	}
	begun := time.Now()
	store, err := p.open(ctx, false)
	if err != nil {
		c := check{Component: "store", Status: "error", Message: err.Error()}
		if u := (unreachable{}); errors.As(err, &u) {
			c.Message = u.why()
		}
		return append(checks, c), nil
	}
	defer store.Close()
	c := check{Component: "store", Status: "ok", Message: fmt.Sprintf("%s   %s   namespace %s   opened in %s (from %s)",
		store.Info.URL, store.Info.Version, store.Info.Namespace, time.Since(begun).Round(100*time.Microsecond), broker.Source)}
	if len(store.Info.Warnings) > 0 {
		c.Status, c.Hints = "warning", store.Info.Warnings
	}
	checks = append(checks, c, p.probe(ctx, store))
	beats, err := stem.Heartbeats(ctx, store)
	if err != nil {
		return append(checks, check{Component: "daemons", Status: "error", Message: err.Error()}), nil
	}
	if len(beats) == 0 {
		return append(checks, check{Component: "daemons", Status: "error", Message: "none is running: tasks wait", Hints: []string{"start one: stemd -config FILE, or stemd -dev PLUGIN"}}), nil
	}
	for _, hb := range beats {
		checks = append(checks, daemonCheck(hb))
		for _, pool := range hb.Pools {
			checks = append(checks, poolCheck(hb, pool))
		}
	}
	return checks, nil
}

// probe measures a read.
func (p *program) probe(ctx context.Context, store stem.Store) check {
	inspector, err := inspectorOf(store)
	if errors.Is(err, stem.ErrUnsupported) {
		return check{Component: "queues", Status: "warning", Message: err.Error()}
	}
	begun := time.Now()
	queues, err := inspector.Queues(ctx)
	ready, dead := 0, 0
	for _, q := range queues {
		ready, dead = ready+q.Ready, dead+q.Dead
	}
	if err != nil {
		c := check{Component: "queues", Status: "error", Message: err.Error()}
		if len(queues) > 0 {
			c.Hints = []string{fmt.Sprintf("where it can be reached: %s ready, %s", thousands(ready), plural(dead, "dead letter"))}
		}
		return c
	}
	return check{Component: "queues", Status: "ok", Message: fmt.Sprintf("read in %s: %s ready, %s",
		time.Since(begun).Round(100*time.Microsecond), thousands(ready), plural(dead, "dead letter"))}
}

func daemonCheck(hb stem.Heartbeat) check {
	c := check{Component: "daemon " + hb.WorkerID, Status: "ok", Message: fmt.Sprintf("pid %d   stemd %s   up %s   %d running",
		hb.Extras.Pid, hb.Version, ago(time.Since(hb.Extras.StartedAt)), hb.Inflight), Hints: hb.Warnings}
	switch {
	case lost(hb):
		c.Status, c.Hints = "error", append(c.Hints, "its process is gone: start stemd again; its tasks run again then, or when their leases end")
	case stale(hb) != "":
		c.Status, c.Hints = "error", append(c.Hints, fmt.Sprintf("no heartbeat for %s: is the process still there?", ago(time.Since(hb.Timestamp))))
	case hb.LastClaim.IsZero():
		c.Message += "   has not claimed yet"
	default:
		c.Message += fmt.Sprintf("   last claim %s before its heartbeat", ago(hb.Timestamp.Sub(hb.LastClaim)))
	}
	if c.Status == "ok" && len(hb.Warnings) > 0 {
		c.Status = "warning"
	}
	return c
}

// lost says whether a daemon's process, on this host, is gone without having said so.
func lost(hb stem.Heartbeat) bool {
	if host, err := os.Hostname(); err != nil || hb.Extras.Host != host {
		return false
	}
	if err := syscall.Kill(hb.Extras.Pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return true
	}
	start, err := proc.StartTime(hb.Extras.Pid) // not everybody may read it
	return err == nil && start != hb.StartTime
}

func poolCheck(hb stem.Heartbeat, pool stem.HeartbeatPool) check {
	c := check{Component: "plugin " + pool.Name, Status: "ok", Message: fmt.Sprintf("%s   %d of %d processes up   %d restarts   on %s",
		pool.Version, pool.Up, pool.Size, pool.Restarts, hb.WorkerID)}
	if pool.State != "ok" {
		c.Status, c.Hints = "warning", []string{pool.State}
	}
	if pool.State == stem.PoolIdle {
		c.Status = "ok"
	} else if pool.Up == 0 {
		c.Status = "error"
	}
	return c
}
