package redis

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

// hub is the one connection of this process for messages, shared by everybody who listens. It connects when somebody does.
type hub struct {
	db *conn

	mu     sync.Mutex
	conn   *redis.PubSub
	topics map[string]*topic // by channel
	closed bool
	done   chan struct{} // closed when the reader has ended; nil: it never began
}

// topic is a channel that somebody listens to.
type topic struct {
	ears  []*ear
	ready chan struct{} // closed when the server has confirmed the subscription
	sure  bool
}

// ear is one who listens.
type ear struct {
	ch   chan string
	sure <-chan struct{} // closed when the server has confirmed: nothing sent from then on is missed
}

const (
	// hubCheck is how long a connection may be silent before it is tried.
	hubCheck = 15 * time.Second
	// surePatience is how long listen waits to be confirmed: a user without the right to a channel never is.
	surePatience = 2 * time.Second
)

func newHub(c *conn) *hub { return &hub{db: c, topics: map[string]*topic{}} }

// listen is join that returns once the server has confirmed the subscription, or has not for a while.
func (h *hub) listen(ctx context.Context, channel string, size int) (*ear, error) {
	e, err := h.join(ctx, channel, size)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(surePatience)
	defer timer.Stop()
	select {
	case <-e.sure:
	case <-timer.C: // it may come yet, and who listens looks by itself meanwhile
	case <-ctx.Done():
		h.forget(channel, e)
		return nil, ctx.Err()
	}
	return e, nil
}

// join subscribes to a channel. What does not fit into size is lost. The ear is closed by forget or by close.
func (h *hub) join(ctx context.Context, channel string, size int) (*ear, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, stem.ErrClosed
	}
	t := h.topics[channel]
	if t == nil {
		if err := h.subscribe(ctx, channel); err != nil {
			return nil, err
		}
		t = &topic{ready: make(chan struct{})}
		h.topics[channel] = t
	}
	e := &ear{ch: make(chan string, size), sure: t.ready}
	t.ears = append(t.ears, e)
	return e, nil
}

// subscribe asks for a channel; h.mu is held.
func (h *hub) subscribe(ctx context.Context, channel string) error {
	if h.conn != nil {
		if h.db.sharded {
			return h.conn.SSubscribe(ctx, channel)
		}
		return h.conn.Subscribe(ctx, channel)
	}
	if h.db.sharded {
		h.conn = h.db.client.SSubscribe(ctx, channel)
	} else {
		h.conn = h.db.client.Subscribe(ctx, channel)
	}
	h.done = make(chan struct{})
	go h.read(h.conn.ChannelWithSubscriptions(redis.WithChannelSize(1000), redis.WithChannelHealthCheckInterval(hubCheck)))
	return nil
}

func (h *hub) read(messages <-chan any) {
	defer close(h.done)
	for m := range messages {
		switch m := m.(type) {
		case *redis.Subscription:
			h.confirm(m)
		case *redis.Message:
			h.tell(m.Channel, m.Payload)
		}
	}
}

// confirm notes that the server listens for us. What is sent while a lost connection is made anew is lost.
func (h *hub) confirm(s *redis.Subscription) {
	if s.Kind != "subscribe" && s.Kind != "ssubscribe" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[s.Channel]; t != nil && !t.sure {
		t.sure = true
		close(t.ready)
	}
}

func (h *hub) tell(channel, payload string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[channel]
	if t == nil {
		return
	}
	for _, e := range t.ears {
		select {
		case e.ch <- payload:
		default: // a slow reader loses hints
		}
	}
}

// forget ends an ear. Its channel is given up with the last one.
func (h *hub) forget(channel string, e *ear) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[channel]
	if t == nil {
		return
	}
	i := slices.Index(t.ears, e)
	if i < 0 {
		return
	}
	t.ears = slices.Delete(t.ears, i, i+1)
	close(e.ch)
	if len(t.ears) > 0 || h.closed {
		return
	}
	delete(h.topics, channel)
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if h.db.sharded {
		_ = h.conn.SUnsubscribe(ctx, channel) // the worst is a message that nobody wants
	} else {
		_ = h.conn.Unsubscribe(ctx, channel)
	}
}

func (h *hub) close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	for _, t := range h.topics {
		for _, e := range t.ears {
			close(e.ch)
		}
		t.ears = nil
	}
	conn, done := h.conn, h.done
	h.mu.Unlock()
	if conn == nil {
		return nil
	}
	err := conn.Close()
	<-done
	return err
}
