package redis_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
)

var errKilled = errors.New("the process is dead")

// mortal is what connects a process to its servers: it dies after so many bytes, sent and received over all connections together, and
// the last message may be cut anywhere.
type mortal struct {
	mu     sync.Mutex
	passed int
	left   int // < 0: it does not die
	dead   bool
	conns  map[net.Conn]struct{}
}

// openMortal opens a store of a process that can die.
func openMortal(t *testing.T, url string, opts ...stem.StoreOption) (stem.Store, *mortal) {
	t.Helper()
	m := &mortal{left: -1, conns: map[net.Conn]struct{}{}}
	store, err := redis.OpenThrough(t.Context(), url, m.dial, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store, m
}

// die has it die after n bytes from now on; < 0: not at all.
func (m *mortal) die(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passed, m.left = 0, n
}

func (m *mortal) bytes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.passed
}

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

func (m *mortal) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if m.isDead() {
		return nil, errKilled
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns[conn] = struct{}{}
	return &mortalConn{conn, m}, nil
}

// pass counts bytes, says how many of them still pass, and kills at the last.
func (m *mortal) pass(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return 0
	}
	if m.left >= 0 && m.passed+n > m.left {
		n, m.dead = m.left-m.passed, true
	}
	m.passed += n
	return n
}

// bury ends all connections of who is dead.
func (m *mortal) bury() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		_ = c.Close()
	}
	clear(m.conns)
}

type mortalConn struct {
	net.Conn
	m *mortal
}

func (c *mortalConn) Write(b []byte) (int, error) {
	n := c.m.pass(len(b))
	done, err := c.Conn.Write(b[:n])
	if n < len(b) {
		c.m.bury()
		return done, errKilled
	}
	return done, err
}

func (c *mortalConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		return n, err
	}
	if c.m.pass(n) < n {
		c.m.bury()
		return 0, errKilled
	}
	return n, nil
}
