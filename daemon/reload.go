package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stemd/stem/config"
	"github.com/stemd/stem/daemon/worker"
)

// reloadPatience is how long the plugins of a new configuration may take to announce themselves.
const reloadPatience = 15 * time.Second

var errStopping = errors.New("the daemon is stopping")

// Reload takes a new configuration: its plugins start beside the old ones, and only when all have announced themselves do the old
// ones stop claiming and drain while the new ones begin. On an error nothing has changed. What a running daemon can not change
// (stores, namespace, node) is an error that says so.
func (d *Daemon) Reload(ctx context.Context, cfg *config.Config) error {
	if err := d.fixed(cfg); err != nil {
		return err
	}
	d.mu.Lock()
	old := d.current
	d.mu.Unlock()
	if old == nil {
		return errors.New("the daemon is starting")
	}
	if d.isStopping() {
		return errStopping
	}
	next, err := d.generation(cfg)
	if err != nil {
		return err
	}
	d.run(context.WithoutCancel(ctx), next)
	patience, stop := d.whileAlive(ctx, next)
	defer stop()
	patience, cancel := context.WithTimeout(patience, reloadPatience)
	defer cancel()
	if err := next.worker.WaitReady(patience); err != nil {
		switch {
		case next.ended():
			return next.err
		case d.isStopping():
			return d.abandon(next, errStopping)
		}
		return d.abandon(next, fmt.Errorf("not ready within %s: %s", reloadPatience, strings.Join(stateOf(next.worker.Heartbeat()), "; ")))
	}
	d.mu.Lock()
	if d.mode != 0 {
		d.mu.Unlock()
		return d.abandon(next, errStopping)
	}
	d.cfg, d.current, d.since = cfg, next, time.Now()
	d.mu.Unlock()
	// Never two generations claim at once: a queue belongs to one pool.
	old.worker.Shutdown(worker.Warm)
	close(next.begin)
	d.older.Go(func() {
		<-old.done
		if old.err != nil {
			d.opts.Log.Error("the pools of the configuration before ended badly", "error", old.err)
		}
		next.worker.Announce()
	})
	return nil
}

func (d *Daemon) abandon(g *generation, why error) error {
	g.worker.Shutdown(worker.Hard)
	<-g.done
	return why
}

// fixed refuses what needs a restart.
func (d *Daemon) fixed(cfg *config.Config) error {
	var changed []string
	for _, f := range []struct {
		what     string
		old, now string
	}{
		{"broker", d.cfg.Broker.URL, cfg.Broker.URL},
		{"results", d.cfg.Results.URL, cfg.Results.URL},
		{"records", d.cfg.Records.URL, cfg.Records.URL},
		{"namespace", namespaceOf(d.cfg), namespaceOf(cfg)},
		{"node", d.cfg.Node, cfg.Node},
	} {
		if f.old != f.now {
			changed = append(changed, f.what)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return fmt.Errorf("a running daemon can not change %s: restart it", strings.Join(changed, ", "))
}
