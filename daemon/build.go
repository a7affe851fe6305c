package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	"github.com/stemd/stem/adapters/all"
	"github.com/stemd/stem/config"
	"github.com/stemd/stem/daemon/worker"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

// startingPause is the time between two tries of a store that is starting.
const startingPause = 500 * time.Millisecond

// openStores is openStores of the configuration. A server that still reads its data, as after a reboot of both, is waited for.
func (d *Daemon) openStores(ctx context.Context) (stem.Store, error) {
	for told := false; ; told = true {
		store, err := openStores(ctx, d.cfg)
		if !errors.Is(err, stem.ErrStarting) {
			return store, err
		}
		if !told {
			d.opts.Log.Warn(fmt.Sprintf("%v; waiting for it", err))
		}
		select {
		case <-time.After(startingPause):
		case <-d.stopping:
			return store, err
		case <-ctx.Done():
			return store, err
		}
	}
}

// openStores opens the store of each port; ports with the same URL share one.
func openStores(ctx context.Context, cfg *config.Config) (stem.Store, error) {
	opened := map[string]stem.Store{}
	open := func(port, url string) (stem.Store, error) {
		if url == "" {
			url = cfg.Broker.URL
		}
		if s, ok := opened[url]; ok {
			return s, nil
		}
		s, err := all.Open(ctx, url, stem.Namespace(namespaceOf(cfg)), stem.WithTLS(cfg.TLS), func(o *stem.StoreOptions) {
			if cfg.DeadLetters > 0 {
				o.DeadLetters = cfg.DeadLetters
			}
			if cfg.Events > 0 {
				o.Events = cfg.Events
			}
		})
		if err != nil {
			return s, fmt.Errorf("%s: %w", port, err)
		}
		opened[url] = s
		return s, nil
	}
	broker, err := open("broker", cfg.Broker.URL)
	if err != nil {
		return stem.Store{}, err
	}
	results, err := open("results", cfg.Results.URL)
	if err != nil {
		return stem.Store{}, errors.Join(err, broker.Close())
	}
	records, err := open("records", cfg.Records.URL)
	if err != nil {
		return stem.Store{}, errors.Join(err, broker.Close(), results.Close())
	}
	if len(opened) == 1 {
		return broker, nil
	}
	store := adapters.Compose(broker, results, records)
	store.CloseFunc = func() error {
		var errs []error
		for _, s := range opened {
			errs = append(errs, s.Close())
		}
		return errors.Join(errs...)
	}
	return store, nil
}

// pool makes the worker's view of a configured pool. Its runner is checked here, so that a mistake is found before anything starts.
func (d *Daemon) pool(cfg *config.Config, p config.Pool) (worker.Pool, error) {
	hc := p.Host
	hc.Dir, hc.Worker, hc.Reaper = d.dir, d.node, d.opts.Reaper
	if cfg.Worker.MaxResult > 0 {
		hc.MaxResult = cfg.Worker.MaxResult
	}
	hc.Groups, hc.Processes.Scale = d.groups, cfg.Worker.Scale
	late := &lateSink{}
	log := d.opts.Log
	runner, err := host.New(hc, late, log)
	if err != nil {
		return worker.Pool{}, err
	}
	return worker.Pool{
		Name: hc.Name, Plugin: hc.Plugin, Queues: p.Queues, Policy: p.Policy,
		New: func(sink plugin.Sink) worker.Runner {
			late.Sink = sink
			return runner
		},
	}, nil
}

// lateSink is given its sink after it was handed on and before anything runs.
type lateSink struct{ plugin.Sink }

// stateOf is the state of each pool that is not well, for messages.
func stateOf(hb stem.Heartbeat) []string {
	var out []string
	for _, p := range hb.Pools {
		if p.State != "ok" {
			out = append(out, fmt.Sprintf("plugin %s: %s", p.Name, p.State))
		}
	}
	return out
}

// usesLimits says whether any pool has a limit that a cgroup can enforce. Without one the daemon stays in the cgroup it was put in.
func usesLimits(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Pools, func(p config.Pool) bool {
		return p.Host.Limits.Memory > 0 || p.Host.Limits.CPU > 0 || p.Host.Limits.Pids > 0
	})
}
