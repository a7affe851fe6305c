package host

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/scale"
	"github.com/stemd/stem/plugin"
)

var _ plugin.Runner = (*Pool)(nil)

// Pool runs the processes of one plugin build. It implements plugin.Runner; its processes live while Run does.
type Pool struct {
	cfg    Config
	sink   plugin.Sink
	log    hclog.Logger
	speeds *speeds
	ward   ward
	rules  scale.Rules
	user   *identity // processes run as it; nil: as the daemon
	groups *Groups   // nil: there are none, or no limit needs them
	// mechanisms says how each limit is enforced.
	mechanisms []string
	// The constants of these names, except in tests.
	killPatience, dumpPatience, aheadPatience time.Duration

	waiting waiting
	useful  atomic.Bool // an attempt ended since the last death
	short   atomic.Bool // its plugin does not start: processes go on beyond Recycle.Tasks

	// Set by Run before any process.
	dir     *directory
	spawner *spawner
	builds  builds

	mu       sync.Mutex
	ready    []*process
	manifest plugin.Manifest
	crew     crew
	stopping bool
}

// New checks cfg and fills in its defaults. Nothing is started before Run.
func New(cfg Config, sink plugin.Sink, log hclog.Logger) (*Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Pool{
		cfg: cfg, sink: sink, log: log.With("pool", cfg.Name), speeds: newSpeeds(),
		killPatience: killPatience, dumpPatience: dumpPatience, aheadPatience: aheadPatience,
	}
	if p.user, err = cfg.Limits.identify(); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", cfg.Name, err)
	}
	if l := cfg.Limits; l.Memory > 0 || l.CPU > 0 || l.Pids > 0 {
		p.groups = cfg.Groups
	}
	p.mechanisms = p.describe()
	p.rules = cfg.Processes.Scale.WithDefaults()
	p.crew = crew{known: -1, changed: make(chan struct{}, 1)}
	p.crew.scale.Size = max(p.rules.Min, 1)
	return p, nil
}

// Run starts the processes, keeps them running and, when ctx ends, stops them: it returns when none is left. A plugin that does
// not start is not an error of Run: the pool goes on trying and says so in Stats. Run is called once.
func (p *Pool) Run(ctx context.Context) (err error) {
	if p.dir, err = newDirectory(p.cfg.Dir, p.cfg.Name, p.user); err != nil {
		return fmt.Errorf("plugin %s: private directory: %w", p.cfg.Name, err)
	}
	defer func() {
		if gone := p.dir.remove(); gone != nil && err == nil {
			err = fmt.Errorf("plugin %s: %w", p.cfg.Name, gone)
		}
	}()
	p.spawner = newSpawner(p.cfg.Reaper, p.cfg.Limits.thread)
	defer p.spawner.stop()
	defer p.builds.wait()
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stopping = true
	})()
	for _, m := range p.mechanisms {
		p.log.Info("limit " + m)
	}
	var watch sync.WaitGroup
	watch.Go(func() { p.watchMemory(ctx) })
	p.manage(ctx)
	watch.Wait()
	p.sendAway("stopped for a shutdown")
	return nil
}

// Manifest is that of the process that became ready last; the zero Manifest before the first.
func (p *Pool) Manifest() plugin.Manifest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.manifest
}

// Free counts slots and, where attempts run fast, places to send ahead to, over the processes that are ready. A pool that may be
// empty and is takes as much as one process runs: the first attempt starts it. A quarantined pool takes nothing.
func (p *Pool) Free() int {
	if p.Quarantined() {
		return 0
	}
	if len(p.processes()) == 0 {
		return p.vacancy()
	}
	free := 0
	for _, proc := range p.processes() {
		room, _ := proc.room()
		free += room
	}
	return free
}

// Start hands each attempt to the process that holds the fewest.
func (p *Pool) Start(attempts []plugin.Attempt) {
	type share struct {
		proc       *process
		room, held int
		take       []int
	}
	var shares []share
	for _, proc := range p.processes() {
		room, held := proc.room()
		shares = append(shares, share{proc: proc, room: room, held: held})
	}
	if len(shares) == 0 {
		if attempts = p.rouse(attempts); len(attempts) == 0 {
			return
		}
	}
	paces := p.speeds.of(attempts)
	var back []plugin.Attempt
	if len(shares) == 1 { // no choice, no copies
		back = shares[0].proc.deliver(attempts, paces)
	} else {
		for i := range attempts {
			best := -1
			for j := range shares {
				if shares[j].room > 0 && (best < 0 || shares[j].held < shares[best].held) {
					best = j
				}
			}
			if best < 0 {
				back = append(back, attempts[i:]...)
				break
			}
			s := &shares[best]
			s.room--
			s.held++
			s.take = append(s.take, i)
		}
		for _, s := range shares {
			some, theirs := make([]plugin.Attempt, len(s.take)), make([]pace, len(s.take))
			for k, i := range s.take {
				some[k], theirs[k] = attempts[i], paces[i]
			}
			back = append(back, s.proc.deliver(some, theirs)...)
		}
	}
	p.giveBack(back, stem.ClassCollateral, "no process has room for it")
}

// Cancel cancels the attempt where it is held.
func (p *Pool) Cancel(id string, epoch stem.Epoch, why string, force bool) {
	if p.cancelSuspect(id, epoch, why) || p.cancelWaiting(id, epoch, why) {
		return
	}
	for _, proc := range p.processes() {
		if proc.cancelAttempt(id, epoch, why, force) {
			return
		}
	}
}

// Recall asks all processes for what they have not started.
func (p *Pool) Recall() {
	p.sendAway("taken back before it ran")
	for _, proc := range p.processes() {
		proc.recallUnstarted()
	}
}

// processes that are ready.
func (p *Pool) processes() []*process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready // replaced, never changed
}

// join puts a process into common use, unless it is dead already.
func (p *Pool) join(proc *process) {
	p.mu.Lock()
	if proc.gone {
		p.mu.Unlock()
		return
	}
	if known := p.manifest; len(p.ready) > 0 && !sameTasks(known, proc.manifest) {
		p.log.Warn("processes of one pool describe themselves differently: was the program replaced while it ran?",
			"version", known.Version, "now", proc.manifest.Version)
	}
	p.manifest = proc.manifest
	p.ready = append(slices.Clone(p.ready), proc)
	p.mu.Unlock()
	p.isolate() // before anything else takes the room
	if waiting := p.waiting.take(); len(waiting) > 0 {
		p.Start(waiting)
	}
	p.sink.Ready()
}

// leave takes a process out of the pool. The place of one that was not retired stays taken until died has judged its end: what
// came of it decides when the next may start.
func (p *Pool) leave(proc *process) {
	planned := proc.isRetired()
	p.mu.Lock()
	defer p.mu.Unlock()
	same := func(other *process) bool { return other == proc }
	proc.gone = true
	if !planned {
		proc.dying = true
		p.crew.dying++
	}
	p.ready = slices.DeleteFunc(slices.Clone(p.ready), same)
	p.crew.spares = slices.DeleteFunc(p.crew.spares, same)
	nudge(p.crew.changed)
}

func sameTasks(a, b plugin.Manifest) bool {
	return a.Version == b.Version && slices.EqualFunc(a.Tasks, b.Tasks, func(x, y stem.TaskSpec) bool { return x.Name == y.Name })
}
