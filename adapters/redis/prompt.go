package redis

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// prompt is a client for one caller at a time: who calls alone. It has one connection, whose reader waits for an answer in the kernel, by its
// own thread. To park a goroutine costs more than a server takes to answer a small call: the threads of an otherwise idle process go to
// sleep and have to be woken, on a processor that the server may need. Several callers at once are better off with an ordinary client.
type prompt struct {
	redis.UniversalClient
	taken atomic.Bool
}

// alone gives the client for a call, and what to do after it.
func (c *conn) alone() (redis.UniversalClient, func()) {
	if c.prompt == nil || !c.prompt.taken.CompareAndSwap(false, true) {
		return c.client, func() {}
	}
	return c.prompt, c.prompt.free
}

func (p *prompt) free() { p.taken.Store(false) }

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
	o.PoolSize = 1
	return &prompt{UniversalClient: newClient(o, false, nil)}
}
