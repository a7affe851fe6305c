package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	"github.com/stemd/stem/plugin/wire"
)

// Mux runs a plugin's handlers in this process, for tests and for programs that embed a worker. It is a plugin.Runner over the
// same session as Serve, so handlers behave alike, but nothing here can be killed: at its hard limit an attempt is cancelled,
// reported as timed out and forgotten, and its slot stays taken until the handler returns.
type Mux struct {
	plugin *Plugin
	sink   plugin.Sink
	slots  int

	mu   sync.Mutex
	feed func(*pluginv1.SessionRequest) // nil: not running
	seq  uint64
	held map[uint64]*muxed
	busy int // slots taken, also by handlers that outlived their limit
}

// muxed is an attempt in hand.
type muxed struct {
	attempt plugin.Attempt
	started time.Time
	timers  []*time.Timer
	over    bool // reported; the handler has not returned
}

var _ plugin.Runner = (*Mux)(nil)

// NewMux makes a runner of p's handlers, slots (≥ 1) at a time, that reports to sink.
func NewMux(p *Plugin, sink plugin.Sink, slots int) *Mux {
	return &Mux{plugin: p, sink: sink, slots: max(slots, 1), held: map[uint64]*muxed{}}
}

func (m *Mux) configure() *pluginv1.Configure {
	return &pluginv1.Configure{Slots: uint32(m.slots), Worker: "in-process", Pool: m.plugin.name, MaxResult: stem.MaxResult}
}

// Run runs attempts until ctx ends; then it cancels what runs, waits for it, and gives everything back.
func (m *Mux) Run(ctx context.Context) error {
	out, logs := newOutbox(), newLogs()
	session, err := newSession(m.plugin, m.configure(), out, logs)
	if err != nil {
		return err
	}
	var loggers sync.WaitGroup
	loggers.Go(func() {
		_ = logs.send(ctx, func(b *pluginv1.LogsResponse) error { m.logged(b); return nil })
	})
	m.begin(session.handle)
	err = out.send(ctx.Done(), m.frame)
	m.end()
	err = errors.Join(err, session.close())
	loggers.Wait()
	return err
}

// RunOver is Run with the handlers at the other end of a connection: a test of the wire without a process.
func (m *Mux) RunOver(ctx context.Context, client pluginv1.PluginServiceClient) error {
	life, stop := context.WithCancel(ctx)
	defer stop()
	stream, err := client.Session(life)
	if err != nil {
		return err
	}
	var sending sync.Mutex
	send := func(f *pluginv1.SessionRequest) {
		sending.Lock()
		defer sending.Unlock()
		_ = stream.Send(f) // a broken stream ends the loop below
	}
	send(&pluginv1.SessionRequest{Configure: m.configure()})
	m.begin(send)
	defer m.end()
	for {
		f, err := stream.Recv()
		if ctx.Err() != nil || errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := m.frame(f); err != nil {
			return err
		}
	}
}

func (m *Mux) begin(feed func(*pluginv1.SessionRequest)) {
	m.mu.Lock()
	m.feed = feed
	m.mu.Unlock()
	m.sink.Ready()
}

// end gives back what is still in hand.
func (m *Mux) end() {
	m.mu.Lock()
	m.feed = nil
	var back []plugin.Outcome
	for seq, h := range m.held {
		h.stopTimers()
		if !h.over {
			back = append(back, notRun(h.attempt, stem.ClassDrain, "stopped by a shutdown"))
		}
		delete(m.held, seq)
	}
	m.mu.Unlock()
	if len(back) > 0 {
		m.sink.Done(back)
	}
}

func notRun(a plugin.Attempt, c stem.Class, why string) plugin.Outcome {
	return plugin.Outcome{Attempt: a, Kind: plugin.NotRun, Error: &stem.TaskError{Class: c, Type: "NotRun", Message: why}}
}

func (h *muxed) stopTimers() {
	for _, t := range h.timers {
		t.Stop()
	}
}

// Manifest implements plugin.Runner.
func (m *Mux) Manifest() plugin.Manifest { return wire.Manifest(m.plugin.manifest()) }

// Free implements plugin.Runner.
func (m *Mux) Free() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.feed == nil {
		return 0
	}
	return m.slots - m.busy
}

// Start implements plugin.Runner.
func (m *Mux) Start(attempts []plugin.Attempt) {
	f := &pluginv1.SessionRequest{}
	var refused []plugin.Outcome
	m.mu.Lock()
	feed := m.feed
	for _, a := range attempts {
		if feed == nil || m.busy >= m.slots {
			refused = append(refused, notRun(a, stem.ClassCollateral, "no room"))
			continue
		}
		m.busy++
		m.seq++
		h := &muxed{attempt: a, started: time.Now()}
		m.held[m.seq] = h
		m.limit(m.seq, h)
		f.Deliver = append(f.Deliver, &pluginv1.Delivery{
			Seq: m.seq, Header: a.Header, Body: a.Body, Attempt: int32(a.Attempt), Epoch: int64(a.Epoch), Queue: a.Queue,
			SoftLimit: a.Soft.Microseconds(), HardLimit: a.Hard.Microseconds(),
		})
	}
	m.mu.Unlock()
	if len(f.Deliver) > 0 {
		feed(f)
	}
	if len(refused) > 0 {
		m.sink.Done(refused)
	}
}

// limit sets the timers of an attempt; it runs under mu.
func (m *Mux) limit(seq uint64, h *muxed) {
	if h.attempt.Soft > 0 {
		h.timers = append(h.timers, time.AfterFunc(h.attempt.Soft, func() { m.soften(seq) }))
	}
	if h.attempt.Hard > 0 {
		h.timers = append(h.timers, time.AfterFunc(h.attempt.Hard, func() {
			m.giveUp(seq, &stem.TaskError{
				Class: stem.ClassTimeout, Type: "TimeoutError", Message: fmt.Sprintf("hard limit %s exceeded; the handler could not be killed in-process", h.attempt.Hard),
			})
		}))
	}
}

// soften tells an attempt that its soft limit has passed.
func (m *Mux) soften(seq uint64) {
	m.mu.Lock()
	h := m.held[seq]
	m.mu.Unlock()
	if h != nil {
		m.sink.SoftLimit(h.attempt)
		m.cancel(seq, "soft-limit")
	}
}

func (m *Mux) cancel(seq uint64, why string) {
	m.mu.Lock()
	feed := m.feed
	m.mu.Unlock()
	if feed != nil {
		feed(&pluginv1.SessionRequest{Cancel: []*pluginv1.Cancel{{Seq: seq, Why: why}}})
	}
}

// giveUp reports the end of an attempt whose handler has not returned.
func (m *Mux) giveUp(seq uint64, why *stem.TaskError) {
	m.mu.Lock()
	h := m.held[seq]
	if h == nil || h.over {
		m.mu.Unlock()
		return
	}
	h.over = true
	h.stopTimers()
	m.mu.Unlock()
	m.cancel(seq, "cancelled")
	m.sink.Done([]plugin.Outcome{{Attempt: h.attempt, Kind: plugin.Failure, Error: why, Started: h.started, Finished: time.Now()}})
}

// Cancel implements plugin.Runner.
func (m *Mux) Cancel(id string, epoch stem.Epoch, why string, force bool) {
	m.mu.Lock()
	var found uint64
	for seq, h := range m.held {
		if h.attempt.ID == id && h.attempt.Epoch == epoch && !h.over {
			found = seq
		}
	}
	m.mu.Unlock()
	switch {
	case found == 0:
	case force:
		m.giveUp(found, &stem.TaskError{Class: stem.ClassCancelled, Type: "TaskRevoked", Message: why})
	default:
		m.cancel(found, why)
	}
}

// Recall implements plugin.Runner.
func (m *Mux) Recall() {
	m.mu.Lock()
	feed := m.feed
	f := &pluginv1.SessionRequest{}
	for seq := range m.held {
		f.Recall = append(f.Recall, seq)
	}
	m.mu.Unlock()
	if feed != nil && len(f.Recall) > 0 {
		feed(f)
	}
}

// Stats implements plugin.Runner.
func (m *Mux) Stats() stem.HeartbeatPool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := stem.HeartbeatPool{Plugin: m.plugin.name, Version: m.plugin.version, Size: 1, State: "starting", Inflight: len(m.held)}
	if m.feed != nil {
		s.Up, s.State = 1, "ok"
	}
	return s
}

// take removes attempts that have ended; nil where the end was reported before.
func (m *Mux) take(seqs []uint64) []*muxed {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*muxed, len(seqs))
	for i, seq := range seqs {
		h := m.held[seq]
		if h == nil {
			continue
		}
		delete(m.held, seq)
		m.busy--
		h.stopTimers()
		if !h.over {
			out[i] = h
		}
	}
	return out
}

// frame passes what the session says on to the sink.
func (m *Mux) frame(f *pluginv1.SessionResponse) error {
	for _, p := range f.GetProgress() {
		m.mu.Lock()
		h := m.held[p.GetSeq()]
		m.mu.Unlock()
		if h != nil {
			m.sink.Progress(h.attempt, wire.Progress(p))
		}
	}
	for _, c := range f.GetCalls() {
		go m.enqueue(c)
	}
	seqs := append([]uint64{}, f.GetRecalled()...)
	for _, o := range f.GetSettle() {
		seqs = append(seqs, o.GetSeq())
	}
	if len(seqs) == 0 {
		return nil
	}
	var done []plugin.Outcome
	for i, h := range m.take(seqs) {
		switch {
		case h == nil:
		case i < len(f.GetRecalled()):
			done = append(done, notRun(h.attempt, stem.ClassDrain, "given back before it started"))
		default:
			done = append(done, wire.Outcome(h.attempt, f.GetSettle()[i-len(f.GetRecalled())], 0))
		}
	}
	if len(done) > 0 {
		m.sink.Done(done)
	} else {
		m.sink.Ready() // a slot is free again all the same
	}
	return nil
}

// enqueue answers a handler's call. It ends with the call's store, which bounds itself.
func (m *Mux) enqueue(c *pluginv1.Call) {
	m.mu.Lock()
	h, feed := m.held[c.GetSeq()], m.feed
	m.mu.Unlock()
	reply := &pluginv1.Reply{Call: c.GetCall()}
	tasks, err := wire.NewTasks(c.GetEnqueue())
	switch {
	case h == nil:
		err = errors.New("this attempt has ended: it can not enqueue")
	case err == nil:
		reply.Ids, err = m.sink.Enqueue(context.Background(), h.attempt, tasks)
	}
	if err != nil {
		reply.Error = err.Error()
	}
	if feed != nil {
		feed(&pluginv1.SessionRequest{Replies: []*pluginv1.Reply{reply}})
	}
}

func (m *Mux) logged(b *pluginv1.LogsResponse) {
	for _, r := range b.GetRecords() {
		m.mu.Lock()
		h := m.held[r.GetSeq()]
		m.mu.Unlock()
		var a plugin.Attempt
		if h != nil {
			a = h.attempt
		}
		m.sink.Log(a, wire.Log(r, 0))
	}
}
