// Package daemon builds a running stemd from a Config: stores, plugin pools, worker, in that order, and takes a new Config
// all-or-nothing. It holds no flags and no signals; programs that embed a daemon use it as cmd/stemd does.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/config"
	"github.com/stemd/stem/config/env"
	"github.com/stemd/stem/daemon/worker"
	"github.com/stemd/stem/plugin/host"
)

// Options are what a Config does not say.
type Options struct {
	Version string // for heartbeats
	Env     env.Lookup
	Log     hclog.Logger
	// Opened is called once the store is open, before anything runs; its error stops the start.
	Opened func(stem.Store) error
	// Ready is called when every plugin of the first configuration has announced itself.
	Ready func(stem.Heartbeat)
	// Reaper, when not nil, is run with the daemon: it ends and reaps what plugins leave behind. For programs that start no other
	// children in process groups of their own.
	Reaper *host.Reaper
}

// Daemon is a stemd. Make it with New, run it once with Run.
type Daemon struct {
	opts  Options
	cfg   *config.Config
	node  string
	dir   string // of plugin sockets
	store stem.Store
	watch *watch
	// groups is nil where no cgroup is delegated: limits are enforced by other means.
	groups *host.Groups

	stopping chan struct{} // closed when the stop begins
	stopOnce sync.Once

	mu          sync.Mutex
	current     *generation
	mode        worker.Mode
	since       time.Time // the configuration in force was taken
	ended       chan error
	older       sync.WaitGroup // generations that drain
	generations atomic.Int32   // that run
}

// generation is the worker of one configuration.
type generation struct {
	worker *worker.Worker
	begin  chan struct{}
	done   chan struct{}
	err    error
}

// whileAlive is ctx until the generation ends or the daemon's stop begins.
func (d *Daemon) whileAlive(ctx context.Context, g *generation) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	go func() {
		select {
		case <-g.done:
		case <-d.stopping:
		case <-ctx.Done():
		}
		stop()
	}()
	return ctx, stop
}

func (g *generation) ended() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// New prepares a daemon and starts nothing.
func New(cfg *config.Config, opts Options) (*Daemon, error) {
	node := cfg.Node
	if node == "" {
		var err error
		if node, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("no node name: set node in the configuration: %w", err)
		}
	}
	return &Daemon{opts: opts, cfg: cfg, node: node, ended: make(chan error, 1), stopping: make(chan struct{})}, nil
}

// Run opens the store and works until Shutdown has done its work, until ctx ends, which is a hard stop, or until something fails
// that nothing can go on without.
func (d *Daemon) Run(ctx context.Context) (err error) {
	store, err := d.openStores(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	d.store = store
	d.watch = newWatch(store, d.opts.Log)
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { d.watch.run(watching); close(watched) }()
	defer func() { stopWatching(); <-watched }()
	if d.opts.Opened != nil {
		if err := d.opts.Opened(store); err != nil {
			return err
		}
	}
	if d.dir, err = socketDir(d.opts.Env); err != nil {
		return err
	}
	killed, err := host.Sweep(d.dir)
	if err != nil {
		return fmt.Errorf("clean up after a predecessor: %w", err)
	}
	if killed > 0 {
		d.opts.Log.Warn("killed plugin processes that a dead predecessor left", "count", killed)
	}

	if usesLimits(d.cfg) {
		if d.groups, err = host.OpenGroups(); err != nil {
			d.opts.Log.Info("limits of processes are enforced without cgroups", "because", err)
		}
	}
	if d.opts.Reaper != nil {
		reaping, stop := context.WithCancel(context.WithoutCancel(ctx))
		reaped := make(chan error, 1)
		go func() { reaped <- d.opts.Reaper.Run(reaping) }()
		defer func() { stop(); err = errors.Join(err, <-reaped) }()
	}

	// Generations end by themselves, not with ctx: a reload must be able to outlive the one before.
	life, end := context.WithCancel(ctx)
	defer end()
	if err := d.begin(life); err != nil {
		return err
	}
	err = <-d.ended
	d.beginStop() // a reload under way must not keep the end waiting
	d.older.Wait()
	return err
}

// begin starts the first generation.
func (d *Daemon) begin(ctx context.Context) error {
	g, err := d.generation(d.cfg)
	if err != nil {
		return err
	}
	close(g.begin)
	d.mu.Lock()
	d.current, d.since = g, time.Now()
	mode := d.mode
	d.mu.Unlock()
	if mode != 0 {
		g.worker.Shutdown(mode)
	}
	d.run(ctx, g)
	go func() {
		waiting, stop := d.whileAlive(ctx, g)
		defer stop()
		if g.worker.WaitReady(waiting) == nil && d.opts.Ready != nil {
			d.opts.Ready(g.worker.Heartbeat())
		}
	}()
	return nil
}

func (d *Daemon) generation(cfg *config.Config) (*generation, error) {
	begin := make(chan struct{})
	pools := make([]worker.Pool, 0, len(cfg.Pools))
	for _, p := range cfg.Pools {
		pool, err := d.pool(cfg, p)
		if err != nil {
			return nil, err
		}
		pools = append(pools, pool)
	}
	w, err := worker.New(worker.Config{
		Node: d.node, Boot: uuid.NewString(), Namespace: d.store.Info.Namespace, Version: d.opts.Version, Pools: pools,
		Lease: cfg.Worker.Lease, Heartbeat: cfg.Worker.Heartbeat, ResultTTL: cfg.ResultTTL, ParkFor: cfg.Worker.ParkFor,
		MaxResult: cfg.Worker.MaxResult, EvidenceTTL: cfg.DeadLetters, Shutdown: cfg.Shutdown, ScaleTick: cfg.Worker.ScaleTick, Begin: begin,
		Warnings: d.watch.current, Alone: func() bool { return d.generations.Load() == 1 },
	}, d.store, d.opts.Log)
	if err != nil {
		return nil, err
	}
	return &generation{worker: w, begin: begin, done: make(chan struct{})}, nil
}

// run runs a generation; when the current one ends, so does the daemon.
func (d *Daemon) run(ctx context.Context, g *generation) {
	d.older.Add(1)
	d.generations.Add(1)
	go func() {
		defer d.older.Done()
		g.err = g.worker.Run(ctx)
		d.generations.Add(-1)
		close(g.done)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.current == g {
			select {
			case d.ended <- g.err:
			default:
			}
		}
	}()
}

// Shutdown begins or escalates the stop; Run returns when it is done. A Reload under way is given up.
func (d *Daemon) Shutdown(m worker.Mode) {
	d.beginStop()
	d.mu.Lock()
	d.mode = max(d.mode, m)
	g := d.current
	d.mu.Unlock()
	if g != nil {
		g.worker.Shutdown(m)
	}
}

func (d *Daemon) beginStop() { d.stopOnce.Do(func() { close(d.stopping) }) }

func (d *Daemon) isStopping() bool {
	select {
	case <-d.stopping:
		return true
	default:
		return false
	}
}

// Stats is what the daemon's heartbeat says now.
func (d *Daemon) Stats() stem.Heartbeat {
	d.mu.Lock()
	g := d.current
	d.mu.Unlock()
	if g == nil {
		return stem.Heartbeat{WorkerID: d.node}
	}
	return g.worker.Heartbeat()
}

// Since is when the configuration in force was taken.
func (d *Daemon) Since() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since
}

// socketDirMax is what the host allows: socket paths are at most 108 bytes.
const socketDirMax = 48

// socketDir is where plugin sockets live, for this user only: who could put a socket there could answer for a plugin.
func socketDir(get env.Lookup) (string, error) {
	parent := env.RuntimeDir(get)
	if len(filepath.Join(parent, "p")) > socketDirMax {
		parent = filepath.Join("/tmp", "stem-"+strconv.Itoa(os.Getuid()))
	}
	dir := filepath.Join(parent, "p")
	err := os.MkdirAll(dir, 0o700)
	for _, d := range []string{parent, dir} {
		if err == nil {
			err = env.Private(d)
		}
	}
	if err != nil {
		return "", fmt.Errorf("no place for the sockets of plugins: %w; set XDG_RUNTIME_DIR to a directory of this user with a path of at most %d bytes", err, socketDirMax-len("/stem/p"))
	}
	return dir, nil
}

// namespaceOf is the namespace of a configuration.
func namespaceOf(cfg *config.Config) string { return cmp.Or(cfg.Namespace, stem.DefaultNamespace) }
