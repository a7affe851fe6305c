package redis

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// promptCalls is how many calls wait that way at a time: one who is alone, or two of those that many share (see stem.Client).
const promptCalls = 2

// prompt is a client for few calls at a time. Who reads from one of its connections waits for an answer in the kernel, by its own thread. To
// park a goroutine costs more than a server takes to answer a small call: the threads of an otherwise idle process go to sleep and have to be
// woken, on a processor that the server may need. Where there are more calls at once an ordinary client is the better one for the rest.
type prompt struct {
	redis.UniversalClient
	taken atomic.Int32
}

// quickest gives the client for a call, and what to do after it.
func (c *conn) quickest() (redis.UniversalClient, func()) {
	if c.prompt == nil {
		return c.client, func() {}
	}
	if c.prompt.taken.Add(1) > promptCalls {
		c.prompt.free()
		return c.client, func() {}
	}
	return c.prompt, c.prompt.free
}

func (p *prompt) free() { p.taken.Add(-1) }

// prompt is such a client; nil: there is none for a server that has first to be found, or over TLS, whose records are no answers.
func (t *target) prompt() *prompt {
	o := t.options
	if t.cluster || o.MasterName != "" || o.TLSConfig != nil {
		return nil
	}
	dial := redis.NewDialer(&redis.Options{DialTimeout: o.DialTimeout})
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return blocking(c)
	}
	o.PoolSize = promptCalls
	return &prompt{UniversalClient: newClient(o, false, nil)}
}
