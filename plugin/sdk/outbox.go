package sdk

import (
	"runtime"
	"sync"

	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
)

const (
	frameItems = 128     // most outcomes in a frame
	frameBytes = 1 << 20 // and most bytes of results, but for a single one
)

// outbox gathers what goes to the host. Nothing waits for a timer: a frame takes what is there when the one before it is sent.
type outbox struct {
	mu     sync.Mutex
	next   pluginv1.SessionResponse
	latest map[uint64]*pluginv1.Progress // by attempt: only the latest counts
	bell   chan struct{}                 // capacity 1
}

func newOutbox() *outbox {
	return &outbox{latest: map[uint64]*pluginv1.Progress{}, bell: make(chan struct{}, 1)}
}

func (o *outbox) add(fn func(*pluginv1.SessionResponse)) {
	o.mu.Lock()
	fn(&o.next)
	o.mu.Unlock()
	select {
	case o.bell <- struct{}{}:
	default:
	}
}

func (o *outbox) ready(r *pluginv1.Ready) { o.add(func(f *pluginv1.SessionResponse) { f.Ready = r }) }

func (o *outbox) pong(n uint64) { o.add(func(f *pluginv1.SessionResponse) { f.Pong = n }) }

func (o *outbox) recalled(seq uint64) {
	o.add(func(f *pluginv1.SessionResponse) { f.Recalled = append(f.Recalled, seq) })
}

func (o *outbox) call(c *pluginv1.Call) {
	o.add(func(f *pluginv1.SessionResponse) { f.Calls = append(f.Calls, c) })
}

func (o *outbox) settle(out *pluginv1.Outcome) {
	o.add(func(f *pluginv1.SessionResponse) { f.Settle = append(f.Settle, out) })
}

func (o *outbox) progress(p *pluginv1.Progress) {
	o.add(func(*pluginv1.SessionResponse) {
		if before := o.latest[p.Seq]; before != nil && p.ExtendLease == 0 {
			p.ExtendLease = before.ExtendLease
		}
		o.latest[p.Seq] = p
	})
}

// frame takes what is there, up to the bounds; nil: nothing.
func (o *outbox) frame() *pluginv1.SessionResponse {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := &pluginv1.SessionResponse{
		Ready: o.next.Ready, Pong: o.next.Pong, Recalled: o.next.Recalled, Calls: o.next.Calls,
	}
	for _, p := range o.latest {
		f.Progress = append(f.Progress, p)
	}
	n, size := 0, 0
	for n < len(o.next.Settle) && n < frameItems {
		if size += len(o.next.Settle[n].GetResult()); n > 0 && size > frameBytes {
			break
		}
		n++
	}
	f.Settle = o.next.Settle[:n:n]
	rest := o.next.Settle[n:]
	if len(rest) == 0 {
		rest = nil
	}
	empty := f.Ready == nil && f.Pong == 0 && len(f.Recalled)+len(f.Calls)+len(f.Progress)+len(f.Settle) == 0
	o.next.Reset()
	o.next.Settle = rest
	clear(o.latest)
	if empty {
		return nil
	}
	return f
}

// send passes frames to fn until done is closed, and then what is left.
func (o *outbox) send(done <-chan struct{}, fn func(*pluginv1.SessionResponse) error) error {
	for over := false; !over; {
		select {
		case <-o.bell:
			runtime.Gosched() // let handlers that are about to end join this frame
		case <-done:
			over = true
		}
		for f := o.frame(); f != nil; f = o.frame() {
			if err := fn(f); err != nil {
				return err
			}
		}
	}
	return nil
}
