package host

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	"github.com/stemd/stem/plugin/register"
)

// held is an attempt in the hands of a process.
type held struct {
	plugin.Attempt
	seq  uint64
	sent time.Time
	due  time.Time // next look at its limits; zero: none
	pace pace      // of its name when it was handed over
	wait bool      // sent ahead: no slot was free
	soft bool      // the soft limit was told
	// alone: a suspect, by itself in its process. again: it had returned before without its outcome arriving.
	alone, again bool
	told         string    // why it was cancelled
	alive        time.Time // last sign of life; zero: none yet
	heard        int64     // bytes of stderr before it was handed over
}

// outbox is what waits for the next frame.
type outbox struct {
	deliver []*held
	cancel  []*pluginv1.Cancel
	recall  []uint64
	replies []*pluginv1.Reply
	drain   bool
}

// process is one child that speaks the protocol: the attempts it holds and the stream they go through. Methods are safe for
// concurrent use.
type process struct {
	pool   *Pool
	dir    string
	child  *child
	client *goplugin.Client
	born   time.Time
	ooms   uint64 // the kernel's count when it was born
	// ownPeak is the daemon's peak resident set at its birth.
	ownPeak int64
	build   *build    // nil: its program could not be read
	group   *group    // its cgroup; nil: none
	gone    bool      // it takes nothing any more; guarded by the pool's lock
	rising  bool      // it is one of crew.starting; likewise
	dying   bool      // it is one of crew.dying; likewise
	defied  bool      // it was killed, and was not dead after killPatience; likewise
	took    time.Time // since when it is ready; likewise

	lifetime time.Duration // 0: no bound
	resident atomic.Int64  // bytes in memory, last seen

	// Set by connect, constant from ready on.
	manifest plugin.Manifest
	slots    int
	ahead    [paces]int // attempts that may wait in the process; needs the register and recall
	stream   pluginv1.PluginService_SessionClient
	cancel   context.CancelFunc // ends the streams
	calls    chan struct{}      // bounds the calls of handlers being answered
	parts    sync.WaitGroup     // goroutines of the streams
	ready    chan struct{}
	ended    chan struct{} // the session is over; err says why
	err      error

	wake    chan struct{} // something for the sender
	sending sync.Mutex    // held by who sends
	clock   chan struct{} // something for the watch of limits

	regMu    sync.Mutex
	register *register.Reader // nil: the plugin keeps none

	mu      sync.Mutex
	closed  bool // takes nothing more
	alone   bool // kept for suspects: it takes nothing else
	seq     uint64
	held    map[uint64]*held
	paces   [paces]int // how many are held of each
	warm    pace       // of the attempt settled last
	out     outbox
	nextDue time.Time
	cause   cause
	killed  time.Time // first kill
	peak    int64     // largest resident set seen, bytes
	settled int       // attempts it ended itself
	why     string    // why it is to be replaced; empty: it is not
	retired bool      // it takes nothing more, ends what it holds and goes
	emptied time.Time // a retired one ended its last
	overdue bool      // and did not go
	strays  int       // outcomes for attempts it does not hold
	recent  recent
}

func newProcess(p *Pool, dir string) *process {
	proc := &process{
		pool: p, dir: dir, born: time.Now(), rising: true, lifetime: p.cfg.Recycle.lifetime(), ooms: oomKills(), ownPeak: ownPeak(), held: map[uint64]*held{}, slots: p.cfg.PerProcess,
		ready: make(chan struct{}), ended: make(chan struct{}),
		wake: make(chan struct{}, 1), clock: make(chan struct{}, 1), calls: make(chan struct{}, maxCalls),
	}
	out := newOutput(func(line string) {
		p.sink.Log(plugin.Attempt{}, plugin.LogRecord{Time: time.Now(), Message: line, Pid: proc.child.id.Pid})
	})
	proc.child = newChild(p.spawner, p.cfg.Reaper, dir, out, func(id processID) {
		if err := p.restrict(id.Pid); err != nil {
			p.log.Warn(err.Error() + ": trying again before its first task")
		}
		if err := p.dir.record(id); err != nil {
			p.log.Warn("a process is not on record: a sweep after a crash of this daemon would miss it", "pid", id.Pid, "error", err)
		}
	})
	proc.child.mute = p.cfg.Bare
	return proc
}

// room is how many attempts fit now and how many are held. Attempts are sent ahead only while every attempt held, and the one
// settled last, is of a name known to be fast: nothing waits behind a slow handler, and nothing is sent ahead on a guess. More are where
// all are brisk.
func (p *process) room() (room, held int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.roomLocked(), len(p.held)
}

func (p *process) roomLocked() int {
	if p.closed || p.out.drain || p.alone || p.retired {
		return 0
	}
	limit := p.slots
	least := p.warm
	switch {
	case p.paces[slow] > 0:
		least = slow
	case p.paces[fast] > 0:
		least = min(least, fast)
	}
	limit += p.ahead[least]
	room := limit - len(p.held)
	if most := p.pool.cfg.Recycle.Tasks; most > 0 && !p.pool.short.Load() {
		room = min(room, most-int(p.seq))
	}
	return max(room, 0)
}

// deliver takes as many attempts as fit, from the first, and returns the rest.
func (p *process) deliver(attempts []plugin.Attempt, paces []pace) (rest []plugin.Attempt) {
	now := time.Now()
	p.mu.Lock()
	n, idle := min(len(attempts), p.roomLocked()), len(p.held) == 0
	slab := make([]held, n)
	early := false
	heard := p.child.out.tail.total.Load()
	for i := range slab {
		h := &slab[i]
		*h = held{Attempt: attempts[i], sent: now, heard: heard, pace: paces[i], wait: len(p.held) >= p.slots}
		early = p.take(h) || early
	}
	p.mu.Unlock()
	switch {
	case n > 0 && idle:
		p.sendNow()
	case n > 0:
		nudge(p.wake)
	}
	if early {
		nudge(p.clock)
	}
	return attempts[n:]
}

// take puts an attempt into the process's hands and says whether its limits are the next to look at; the caller holds the lock.
func (p *process) take(h *held) (early bool) {
	p.seq++
	h.seq = p.seq
	h.due = h.firstDue(p.pool.aheadPatience)
	if !h.due.IsZero() && (p.nextDue.IsZero() || h.due.Before(p.nextDue)) {
		p.nextDue, early = h.due, true
	}
	p.paces[h.pace]++
	p.held[h.seq] = h
	p.out.deliver = append(p.out.deliver, h)
	return early
}

// release takes an attempt out of the process's hands; the caller holds the lock.
func (p *process) release(seq uint64) (*held, bool) {
	h, ok := p.held[seq]
	if !ok {
		return nil, false
	}
	delete(p.held, seq)
	p.paces[h.pace]--
	p.recent.add(h)
	return h, true
}

// cancelAttempt cancels the attempt's context, or kills the process.
func (p *process) cancelAttempt(id string, epoch stem.Epoch, why string, force bool) (found bool) {
	p.mu.Lock()
	var seq uint64
	for _, h := range p.held {
		if h.ID == id && h.Epoch == epoch {
			h.told, seq = why, h.seq
			p.out.cancel = append(p.out.cancel, &pluginv1.Cancel{Seq: seq, Why: why})
			break
		}
	}
	p.mu.Unlock()
	switch {
	case seq == 0:
		return false
	case force:
		p.kill(cause{kind: causeCancel, seq: seq, why: why})
	default:
		nudge(p.wake)
	}
	return true
}

// recallUnstarted asks for everything back that no handler has begun; what begins meanwhile runs on.
func (p *process) recallUnstarted() {
	if !slices.Contains(p.manifest.Features, plugin.FeatureRecall) {
		return
	}
	running := p.running()
	p.mu.Lock()
	for seq := range p.held {
		if _, ok := running[seq]; !ok {
			p.out.recall = append(p.out.recall, seq)
		}
	}
	p.mu.Unlock()
	nudge(p.wake)
}

// beginDrain cancels and recalls everything and asks the process to end.
func (p *process) beginDrain() {
	p.mu.Lock()
	for seq, h := range p.held {
		if h.told == "" {
			h.told = whyShutdown
		}
		p.out.cancel = append(p.out.cancel, &pluginv1.Cancel{Seq: seq, Why: whyShutdown})
	}
	p.mu.Unlock()
	p.recallUnstarted()
	p.mu.Lock()
	p.out.drain = true
	p.mu.Unlock()
	nudge(p.wake)
}

// kill is the one way a process is killed: the first cause counts, and a second one does not wait for the stacks that the first
// asked for. Its attempts end when it is dead.
func (p *process) kill(why cause) {
	p.notePeak()
	p.mu.Lock()
	first := p.cause.kind == causeNone
	if first {
		p.cause, p.killed = why, time.Now()
	}
	p.closed = true
	p.mu.Unlock()
	if first && why.dumps() && slices.Contains(p.manifest.Features, plugin.FeatureDump) {
		p.child.killWithDump(p.pool.dumpPatience)
	} else {
		p.child.kill()
	}
}

// entries reads the register: by sequence number, what runs and what is done. Nil without a register.
func (p *process) entries() map[uint64]register.Entry {
	p.regMu.Lock()
	defer p.regMu.Unlock()
	if p.register == nil {
		return nil
	}
	snapshot, err := p.register.Snapshot()
	if err != nil {
		p.pool.log.Warn("the register can not be read: blame is a guess", "pid", p.child.id.Pid, "error", err)
		return nil
	}
	out := make(map[uint64]register.Entry, len(snapshot))
	for _, e := range snapshot {
		if e.State != register.Free {
			out[e.Seq] = e
		}
	}
	return out
}

// running is entries without those that are done.
func (p *process) running() map[uint64]register.Entry {
	out := p.entries()
	for seq, e := range out {
		if e.State != register.Running {
			delete(out, seq)
		}
	}
	return out
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
