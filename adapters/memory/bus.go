package memory

import (
	"context"
	"slices"

	"github.com/stemd/stem"
)

// bus is the Bus of a core.
type bus struct{ *core }

var _ stem.Bus = (*bus)(nil)

// hints is how many a subscription holds before it loses some.
const hints = 64

type subscription struct {
	topic string
	ch    chan []byte
	stop  func() bool
}

// Send implements stem.Bus.
func (b *bus) Send(_ context.Context, topic string, payload []byte) error {
	if _, err := b.enter(); err != nil {
		return wrap("send", err)
	}
	defer b.mu.Unlock()
	for _, s := range b.topics[topic] {
		select {
		case s.ch <- payload:
		default: // a slow reader loses hints
		}
	}
	return nil
}

// Subscribe implements stem.Bus.
func (b *bus) Subscribe(ctx context.Context, topic string) (<-chan []byte, error) {
	if _, err := b.enter(); err != nil {
		return nil, wrap("subscribe", err)
	}
	defer b.mu.Unlock()
	s := &subscription{topic: topic, ch: make(chan []byte, hints)}
	b.topics[topic] = append(b.topics[topic], s)
	s.stop = context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.unsubscribe(s)
	})
	return s.ch, nil
}

func (c *core) unsubscribe(s *subscription) {
	subs := c.topics[s.topic]
	i := slices.Index(subs, s)
	if i < 0 {
		return
	}
	if c.topics[s.topic] = slices.Delete(subs, i, i+1); len(subs) == 1 {
		delete(c.topics, s.topic)
	}
	s.stop()
	close(s.ch)
}
