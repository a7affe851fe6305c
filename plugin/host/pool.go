package host

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
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

	// Set by Run before any process.
	dir     *directory
	spawner *spawner
	builds  builds

	mu       sync.Mutex
	ready    []*process
	manifest plugin.Manifest
	posts    []*post
	restarts int
	stopping bool
}

// New checks cfg and fills in its defaults. Nothing is started before Run.
func New(cfg Config, sink plugin.Sink, log hclog.Logger) (*Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Pool{cfg: cfg, sink: sink, log: log.With("pool", cfg.Name), speeds: newSpeeds()}
	for range cfg.Processes.Max {
		p.posts = append(p.posts, &post{})
	}
	return p, nil
}

// Run starts the processes, keeps them running and, when ctx ends, stops them: it returns when none is left. A plugin that does
// not start is not an error of Run: the pool goes on trying and says so in Stats. Run is called once.
func (p *Pool) Run(ctx context.Context) (err error) {
	if p.dir, err = newDirectory(p.cfg.Dir, p.cfg.Name); err != nil {
		return fmt.Errorf("plugin %s: private directory: %w", p.cfg.Name, err)
	}
	defer func() {
		if gone := p.dir.remove(); gone != nil && err == nil {
			err = fmt.Errorf("plugin %s: %w", p.cfg.Name, gone)
		}
	}()
	p.spawner = newSpawner(p.cfg.Reaper)
	defer p.spawner.stop()
	defer p.builds.wait()
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stopping = true
	})()
	var posts sync.WaitGroup
	for _, post := range p.posts {
		posts.Go(func() { p.keep(ctx, post) })
	}
	posts.Wait()
	p.discharge("stopped for a shutdown")
	return nil
}

// Manifest is that of the process that became ready last; the zero Manifest before the first.
func (p *Pool) Manifest() plugin.Manifest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.manifest
}

// Free counts slots and, where attempts run fast, places to send ahead to, over the processes that are ready.
func (p *Pool) Free() int {
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
	fast := p.speeds.fast(attempts)
	var back []plugin.Attempt
	if len(shares) == 1 { // no choice, no copies
		back = shares[0].proc.deliver(attempts, fast)
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
			some, quick := make([]plugin.Attempt, len(s.take)), make([]bool, len(s.take))
			for k, i := range s.take {
				some[k], quick[k] = attempts[i], fast[i]
			}
			back = append(back, s.proc.deliver(some, quick)...)
		}
	}
	if len(back) > 0 {
		outcomes := make([]plugin.Outcome, 0, len(back))
		for _, a := range back {
			outcomes = append(outcomes, notRun(&held{Attempt: a}, stem.ClassCollateral, "no process has room for it", 0))
		}
		p.sink.Done(outcomes)
	}
}

// Cancel cancels the attempt where it is held.
func (p *Pool) Cancel(id string, epoch stem.Epoch, why string, force bool) {
	if p.cancelSuspect(id, epoch, why) {
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
	p.discharge("taken back before it ran again")
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

func (p *Pool) join(proc *process) {
	p.mu.Lock()
	if known := p.manifest; len(p.ready) > 0 && !sameTasks(known, proc.manifest) {
		p.log.Warn("processes of one pool describe themselves differently: was the program replaced while it ran?",
			"version", known.Version, "now", proc.manifest.Version)
	}
	p.manifest = proc.manifest
	p.ready = append(slices.Clone(p.ready), proc)
	p.mu.Unlock()
	p.isolate() // before anything else takes the room
	p.sink.Ready()
}

func (p *Pool) leave(proc *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = slices.DeleteFunc(slices.Clone(p.ready), func(other *process) bool { return other == proc })
}

func sameTasks(a, b plugin.Manifest) bool {
	return a.Version == b.Version && slices.EqualFunc(a.Tasks, b.Tasks, func(x, y stem.TaskSpec) bool { return x.Name == y.Name })
}
