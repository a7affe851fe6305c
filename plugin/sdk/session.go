package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	"github.com/stemd/stem/plugin/register"
)

// session runs deliveries: frames go in by handle, frames come out of out. It is the same for the wire and in-process.
type session struct {
	plugin    *Plugin
	configure *pluginv1.Configure
	ctx       context.Context // of every handler
	stop      context.CancelFunc
	handlers  map[string]Handler
	register  *register.Register // nil: none
	waiting   chan *run          // deliveries no slot has taken
	out       *outbox
	logs      *logs
	slots     sync.WaitGroup

	mu     sync.Mutex
	runs   map[uint64]*run // held, by seq
	drain  bool
	calls  map[uint64]chan *pluginv1.Reply
	called uint64
	idle   chan struct{} // closed when draining and nothing is held
}

// newSession starts the slots. The plugin's own configuration is applied first.
func newSession(p *Plugin, c *pluginv1.Configure, out *outbox, logs *logs) (*session, error) {
	if p.config != nil {
		if err := p.config(c.GetConfig()); err != nil {
			return nil, err
		}
	}
	s := &session{
		plugin: p, configure: c, handlers: map[string]Handler{}, out: out, logs: logs,
		runs: map[uint64]*run{}, calls: map[uint64]chan *pluginv1.Reply{}, idle: make(chan struct{}),
	}
	for name, h := range p.handlers {
		s.handlers[name] = p.wrapped(h)
	}
	slots := max(int(c.GetSlots()), 1)
	// The host never sends more than this; what it sends beyond is given back.
	s.waiting = make(chan *run, slots+int(c.GetSendAhead()))
	if path := c.GetRegister(); path != "" {
		var err error
		if s.register, err = register.Open(path); err != nil {
			return nil, fmt.Errorf("register: %w", err)
		}
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for slot := range slots {
		s.slots.Go(func() { s.work(slot) })
	}
	out.ready(&pluginv1.Ready{Credits: uint32(slots)})
	return s, nil
}

// handle takes one frame in.
func (s *session) handle(f *pluginv1.SessionRequest) {
	for _, d := range f.GetDeliver() {
		s.deliver(d)
	}
	for _, c := range f.GetCancel() {
		s.mu.Lock()
		r := s.runs[c.GetSeq()]
		s.mu.Unlock()
		if r != nil {
			r.cancel(causeOf(c.GetWhy()))
		}
	}
	for _, seq := range f.GetRecall() {
		s.recall(seq)
	}
	for _, r := range f.GetReplies() {
		s.mu.Lock()
		ch := s.calls[r.GetCall()]
		delete(s.calls, r.GetCall())
		s.mu.Unlock()
		if ch != nil {
			ch <- r
		}
	}
	if f.GetDrain() {
		s.startDrain()
	}
	if n := f.GetPing(); n != 0 {
		s.out.pong(n)
	}
}

func (s *session) deliver(d *pluginv1.Delivery) {
	r := newRun(s, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.drain {
		select {
		case s.waiting <- r:
			s.runs[d.GetSeq()] = r
			return
		default:
		}
	}
	r.cancel(nil)
	s.out.recalled(d.GetSeq())
}

// recall gives an attempt back if its handler has not started.
func (s *session) recall(seq uint64) {
	s.mu.Lock()
	r := s.runs[seq]
	s.mu.Unlock()
	if r != nil && r.take() {
		s.forget(seq)
		s.out.recalled(seq)
	}
}

// forget lets an attempt go whose end is in the outbox.
func (s *session) forget(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, seq)
	s.checkIdle()
}

func (s *session) startDrain() {
	s.mu.Lock()
	var unstarted []uint64
	for seq, r := range s.runs {
		if r.take() {
			delete(s.runs, seq)
			unstarted = append(unstarted, seq)
		}
	}
	s.drain = true
	s.mu.Unlock()
	for _, seq := range unstarted {
		s.out.recalled(seq)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkIdle()
}

// checkIdle runs under mu.
func (s *session) checkIdle() {
	if s.drain && len(s.runs) == 0 {
		select {
		case <-s.idle:
		default:
			close(s.idle)
		}
	}
}

// call asks the host and waits for its answer.
func (s *session) call(ctx context.Context, c *pluginv1.Call) (*pluginv1.Reply, error) {
	answer := make(chan *pluginv1.Reply, 1)
	s.mu.Lock()
	s.called++
	c.Call = s.called
	s.calls[c.Call] = answer
	s.mu.Unlock()
	s.out.call(c)
	select {
	case r := <-answer:
		return r, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.ctx.Done():
		return nil, errors.New("the session with the host has ended")
	}
}

// close cancels every handler and waits for the slots; the register goes last.
func (s *session) close() error {
	s.stop()
	s.slots.Wait()
	if s.register != nil {
		return s.register.Close()
	}
	return nil
}
