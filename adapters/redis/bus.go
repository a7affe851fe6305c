package redis

import (
	"context"

	"github.com/stemd/stem"
)

// bus is the Bus of a db.
type bus struct{ *db }

var _ stem.Bus = (*bus)(nil)

// hints is how many a subscription holds before it loses some.
const hints = 64

func (b *bus) channel(topic string) string { return b.keys.key("bus:") + topic }

// Send implements stem.Bus.
func (b *bus) Send(ctx context.Context, topic string, payload []byte) error {
	if b.sharded {
		return b.wrap("send", b.client.SPublish(ctx, b.channel(topic), payload).Err())
	}
	return b.wrap("send", b.client.Publish(ctx, b.channel(topic), payload).Err())
}

// Subscribe implements stem.Bus.
func (b *bus) Subscribe(ctx context.Context, topic string) (<-chan []byte, error) {
	e, err := b.hub.listen(ctx, b.channel(topic), hints)
	if err != nil {
		return nil, b.wrap("subscribe", err)
	}
	out := make(chan []byte, hints)
	started := b.start(func() {
		defer close(out)
		defer b.hub.forget(b.channel(topic), e)
		for {
			select {
			case payload, open := <-e.ch:
				if !open {
					return
				}
				select {
				case out <- []byte(payload):
				default: // a slow reader loses hints
				}
			case <-ctx.Done():
				return
			}
		}
	})
	if !started {
		return nil, b.wrap("subscribe", stem.ErrClosed)
	}
	return out, nil
}
