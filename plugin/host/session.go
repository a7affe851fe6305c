package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	"github.com/stemd/stem/plugin/wire"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	batchItems = 128
	batchBytes = 1 << 20
	// maxCalls bounds the calls of one process's handlers that are answered at once; further ones wait in the stream.
	maxCalls = 64
)

// open starts the streams and returns when the plugin says Ready.
func (p *process) open(ctx context.Context, service pluginv1.PluginServiceClient, configure *pluginv1.Configure) error {
	streams, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	stream, err := service.Session(streams)
	if err == nil {
		err = stream.Send(&pluginv1.SessionRequest{Configure: configure})
	}
	if err != nil {
		return fmt.Errorf("open the session: %w", err)
	}
	p.stream = stream
	p.parts.Go(func() { p.receive(streams) })
	p.parts.Go(func() { p.send(streams) })
	p.parts.Go(func() { p.watchLimits(streams) })
	p.parts.Go(func() { p.readLogs(streams, service) })
	select {
	case <-p.ready:
		p.child.disarm()
		return nil
	case <-p.ended:
		return fmt.Errorf("session: %w", p.err)
	case <-p.child.dead:
		return errors.New("it died")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send writes frames: what is queued now, never a wait for more.
func (p *process) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		runtime.Gosched() // a send returns at once, so whoever is about to queue something is let in first
		p.sending.Lock()
		err := p.flush()
		p.sending.Unlock()
		if err != nil {
			return // receive learns why
		}
	}
}

// flush sends what is queued; the caller holds sending.
func (p *process) flush() error {
	for {
		frame := p.frame()
		if frame == nil {
			return nil
		}
		if err := p.stream.Send(frame); err != nil {
			return err
		}
	}
}

// sendNow sends what was just queued for a process that held nothing, without waking the sender for it: the handler is waited for. It does
// not block: all that was sent before has been answered, so there is room in the stream.
func (p *process) sendNow() {
	if !p.sending.TryLock() {
		nudge(p.wake)
		return
	}
	_ = p.flush() // receive learns why
	p.sending.Unlock()
	runtime.Gosched() // whoever writes it goes first
}

// frame takes the next frame out of the outbox; nil: nothing is queued.
func (p *process) frame() *pluginv1.SessionRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := &p.out
	if len(o.deliver)+len(o.cancel)+len(o.recall)+len(o.replies) == 0 && !o.drain {
		return nil
	}
	n, size := 0, 0
	for n < len(o.deliver) && n < batchItems && (n == 0 || size+weight(o.deliver[n]) <= batchBytes) {
		size += weight(o.deliver[n])
		n++
	}
	f := &pluginv1.SessionRequest{}
	if n > 0 {
		f.Deliver = make([]*pluginv1.Delivery, n)
		slab := make([]pluginv1.Delivery, n)
		for i, h := range o.deliver[:n] {
			d := &slab[i]
			d.Seq, d.Header, d.Body, d.Attempt, d.Epoch, d.Queue = h.seq, h.Header, h.Body, int32(h.Attempt.Attempt), int64(h.Epoch), h.Queue
			d.SoftLimit, d.HardLimit = h.Soft.Microseconds(), h.Hard.Microseconds()
			f.Deliver[i] = d
		}
	}
	if n < len(o.deliver) { // cancels, recalls and the drain may be about attempts that are not sent yet
		o.deliver = o.deliver[n:]
		f.Replies, o.replies = o.replies, nil
		return f
	}
	f.Cancel, f.Recall, f.Replies, f.Drain = o.cancel, o.recall, o.replies, o.drain
	p.closed = p.closed || o.drain
	clear(o.deliver)
	*o = outbox{deliver: o.deliver[:0]}
	return f
}

func weight(h *held) int { return len(h.Header) + len(h.Body) + 64 }

// receive reads frames until the session ends.
func (p *process) receive(ctx context.Context) {
	defer close(p.ended)
	ready := false
	for {
		frame, err := p.stream.Recv()
		if err != nil {
			p.err = err
			switch status.Code(err) {
			case codes.ResourceExhausted:
				p.err = fmt.Errorf("it sent a frame larger than %d bytes: %w", maxFrame, err)
				p.kill(cause{kind: causeFrame, why: p.err.Error()})
			case codes.Internal:
				p.err = fmt.Errorf("it sent a frame that can not be read: %w", err)
				p.kill(cause{kind: causeFrame, why: p.err.Error()})
			}
			if errors.Is(err, io.EOF) {
				p.err = errors.New("it ended its session")
			}
			return
		}
		if r := frame.GetReady(); r != nil && !ready {
			ready = true
			if n := int(r.GetCredits()); n > 0 {
				p.slots = min(n, p.slots)
			}
			close(p.ready)
		}
		p.settle(frame)
		for _, m := range frame.GetProgress() {
			if a, ok := p.alive(m.GetSeq()); ok {
				p.pool.sink.Progress(a, wire.Progress(m))
			}
		}
		for _, m := range frame.GetCalls() {
			select {
			case p.calls <- struct{}{}:
				p.parts.Go(func() { p.answer(ctx, m); <-p.calls })
			case <-ctx.Done():
			}
		}
	}
}

// settle ends the attempts a frame reports or gives back.
func (p *process) settle(frame *pluginv1.SessionResponse) {
	n := len(frame.GetSettle()) + len(frame.GetRecalled())
	if n == 0 {
		return
	}
	outcomes := make([]plugin.Outcome, 0, n)
	runs := make([]run, 0, len(frame.GetSettle()))
	now := time.Now()
	strays := 0
	var failures []failure
	p.mu.Lock()
	for _, m := range frame.GetSettle() {
		h, ok := p.release(m.GetSeq())
		if !ok {
			strays++
			continue
		}
		o := wire.Outcome(h.Attempt, m, p.child.id.Pid)
		p.judge(h, &o)
		if o.Kind != plugin.Success {
			failures = append(failures, failure{len(outcomes), h})
		}
		outcomes = append(outcomes, o)
		runs = append(runs, run{h.Name, took(o, h.sent, now)})
		p.warm = h.pace
	}
	p.settled += len(outcomes)
	for _, seq := range frame.GetRecalled() {
		if h, ok := p.release(seq); ok {
			outcomes = append(outcomes, notRun(h, stem.ClassDrain, "taken back before it started", p.child.id.Pid))
		} else {
			strays++
		}
	}
	first := strays > 0 && p.strays == 0
	p.strays += strays
	p.mu.Unlock()
	if first {
		p.pool.log.Warn("the plugin reports outcomes of attempts it does not hold, or twice; they are ignored",
			"pid", p.child.id.Pid, "count", strays)
	}
	p.pool.speeds.learn(runs)
	p.witness(outcomes, failures)
	p.pool.worked(p, len(runs) > 0)
	if len(outcomes) > 0 {
		p.pool.sink.Done(outcomes)
		p.pool.sink.Ready()
		p.pool.isolate()
	}
}

// answer publishes the children a handler enqueues.
func (p *process) answer(ctx context.Context, m *pluginv1.Call) {
	reply := &pluginv1.Reply{Call: m.GetCall()}
	a, ok := p.attempt(m.GetSeq())
	tasks, err := wire.NewTasks(m.GetEnqueue())
	switch {
	case !ok:
		reply.Error = "this attempt is not running any more"
	case err != nil:
		reply.Error = err.Error()
	default:
		if reply.Ids, err = p.pool.sink.Enqueue(ctx, a, tasks); err != nil {
			reply.Error = err.Error()
		}
	}
	p.mu.Lock()
	p.out.replies = append(p.out.replies, reply)
	p.mu.Unlock()
	nudge(p.wake)
}

// alive takes note of a sign of life of the attempt held under seq.
func (p *process) alive(seq uint64) (plugin.Attempt, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, ok := p.held[seq]
	if !ok {
		return plugin.Attempt{}, false
	}
	h.alive = time.Now()
	return h.Attempt, true
}

// attempt is the attempt held under seq.
func (p *process) attempt(seq uint64) (plugin.Attempt, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, ok := p.held[seq]
	if !ok {
		return plugin.Attempt{}, false
	}
	return h.Attempt, true
}
