package redis_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// cutOnce loses the first answer to an APPEND once it is armed.
type cutOnce struct {
	net.Conn
	armed *atomic.Bool
	cut   atomic.Bool
}

func (c *cutOnce) Write(b []byte) (int, error) {
	if strings.Contains(strings.ToUpper(string(b)), "APPEND") && c.armed.CompareAndSwap(true, false) {
		c.cut.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *cutOnce) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.cut.Load() {
		_ = c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

// The client library of a Cluster would send a pipeline again by itself whose answer was lost, and what it appends would be there twice.
func TestAnAnswerThatIsLostIsAnErrorAndTheTaskThereOnce(t *testing.T) {
	t.Parallel()
	cluster := testserver.NewCluster(t)
	var armed atomic.Bool
	store, err := redis.OpenThrough(t.Context(), cluster.URL()+"&spread=off", func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &cutOnce{Conn: c, armed: &armed}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	publish(t, store, single(t))
	armed.Store(true)
	m := single(t)
	if _, err := store.Broker.Publish(t.Context(), m); err == nil {
		t.Error("a publish whose answer was lost says that it was done")
	}
	if q := counts(t, store); q.Ready != 2 {
		t.Errorf("counts %+v", q)
	}
	m.State.Epoch = 1
	if out, err := store.Broker.Publish(t.Context(), m); err != nil || out[0].State != stem.Duplicate {
		t.Errorf("published again: %+v, %v", out, err)
	}
	if ds := claim(t, store, 10); len(ds) != 2 {
		t.Errorf("claimed %d", len(ds))
	}
}
