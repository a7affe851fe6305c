package worker

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// pool is one configured Pool at work. Its methods as a sink are in sink.go, its claim loop in claim.go.
type pool struct {
	Pool
	w      *Worker
	runner Runner

	known   atomic.Bool
	ready   chan struct{}           // closed once the manifest is known; weights are valid from then on
	wake    chan struct{}           // something may have become free
	weights atomic.Pointer[weights] // replaced with the manifest; what it points to is the claim loop's

	mu       sync.Mutex
	manifest plugin.Manifest // that was announced
}

// announce takes note of the runner's manifest, the first time and whenever it has changed, and says whether it had.
func (p *pool) announce() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.runner.Manifest()
	first := !p.known.Load()
	if !first && sameTasks(m, p.manifest) {
		return false
	}
	p.manifest = m
	queues := p.w.homes.announce(p.Pool, m)
	p.weights.Store(newWeights(queues))
	p.w.log.Info("plugin ready", "pool", p.Name, "version", m.Version, "tasks", len(m.Tasks), "queues", slices.Sorted(maps.Keys(queues)))
	if first {
		p.known.Store(true)
		close(p.ready)
	}
	return true
}

// sameTasks compares what homes and rules depend on.
func sameTasks(a, b plugin.Manifest) bool {
	if len(a.Tasks) == len(b.Tasks) && (len(a.Tasks) == 0 || &a.Tasks[0] == &b.Tasks[0]) {
		return a.Version == b.Version
	}
	return a.Version == b.Version && slices.EqualFunc(a.Tasks, b.Tasks, func(x, y stem.TaskSpec) bool {
		return x.Name == y.Name && x.Queue == y.Queue
	})
}

// plugin is the name of the pool's plugin.
func (p *pool) plugin() string {
	if p.Plugin != "" {
		return p.Plugin
	}
	return p.Name
}

// levelOf converts a slog level.
func levelOf(level int) hclog.Level {
	switch {
	case level < -4:
		return hclog.Trace
	case level < 0:
		return hclog.Debug
	case level < 4:
		return hclog.Info
	case level < 8:
		return hclog.Warn
	}
	return hclog.Error
}
