package testserver

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Proxy passes connections on to a server and breaks one at an exact byte when told to.
type Proxy struct {
	Addr   string
	target string
	listen net.Listener

	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	requests meter
	replies  meter
	asked    []byte // since the last Heal, up to 64 KiB
	from, to []byte // in replies
	closed   bool
	done     sync.WaitGroup
}

// meter counts the bytes of one direction over all connections.
type meter struct {
	passed int
	cut    int // the connection breaks when this many have passed; < 0: never
}

// NewProxy is a proxy in front of a server. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listen: l, conns: map[net.Conn]struct{}{}, requests: meter{cut: -1}, replies: meter{cut: -1}}
	p.done.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// CutRequest breaks the connection that carries the n-th byte of a request from now on: n bytes reach the server, and nothing after.
// Later connections work.
func (p *Proxy) CutRequest(n int) { p.arm(n, -1) }

// CutReply breaks the connection before the n-th byte of a reply from now on, counted from 0: the server has done all it was asked.
func (p *Proxy) CutReply(n int) { p.arm(-1, n) }

// Replace puts to in the place of from in what the server answers from now on, so that it seems to be another one. Both have one length.
func (p *Proxy) Replace(from, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from, p.to = []byte(from), []byte(to)
}

// Heal breaks nothing from now on and counts anew.
func (p *Proxy) Heal() { p.arm(-1, -1) }

// Passed is how many bytes went through since the last Heal.
func (p *Proxy) Passed() (requests, replies int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests.passed, p.replies.passed
}

// Asked is where in them each request ends that went through since the last Heal, up to 64 KiB.
func (p *Proxy) Asked() (ends []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for end := requestSize(p.asked); end > 0; {
		ends = append(ends, end)
		n := requestSize(p.asked[end:])
		if n == 0 {
			break
		}
		end += n
	}
	return ends
}

// requestSize is how many bytes the request has that b begins with, an array of strings; 0: it is not whole.
func requestSize(b []byte) int {
	rest := b
	head := func(kind byte) (n int, ok bool) {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		if !found || len(line) < 2 || line[0] != kind {
			return 0, false
		}
		n, err := strconv.Atoi(string(line[1:]))
		rest = after
		return n, err == nil
	}
	n, ok := head('*')
	for ; ok && n > 0; n-- {
		var size int
		if size, ok = head('$'); !ok || len(rest) < size+2 {
			return 0
		}
		rest = rest[size+2:]
	}
	if !ok {
		return 0
	}
	return len(b) - len(rest)
}

// Cut says whether the break that was asked for has happened.
func (p *Proxy) Cut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests.cut < 0 && p.replies.cut < 0
}

// Drop breaks every connection there is.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) arm(request, reply int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.replies, p.asked = meter{cut: request}, meter{cut: reply}, nil
}

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		p.done.Go(func() { p.pass(client, server, &p.requests) })
		p.done.Go(func() { p.pass(server, client, &p.replies) })
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.closed {
			_ = c.Close()
		} else {
			p.conns[c] = struct{}{}
		}
	}
	return !p.closed
}

// pass copies one direction until it ends or is cut; either way both connections end.
func (p *Proxy) pass(from, to net.Conn, m *meter) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range []net.Conn{from, to} {
			_ = c.Close()
			delete(p.conns, c)
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n == 0 && err != nil {
			return
		}
		n, cut := p.count(buf[:n], m)
		p.disguise(buf[:n], m)
		if _, err := to.Write(buf[:n]); err != nil || cut {
			return
		}
	}
}

// disguise replaces in a reply. What is replaced is short and comes in one piece.
func (p *Proxy) disguise(b []byte, m *meter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m != &p.replies || len(p.from) == 0 {
		return
	}
	if i := bytes.Index(b, p.from); i >= 0 {
		copy(b[i:], p.to)
	}
}

// count is how many of these bytes may pass, and whether the connection breaks after them.
func (p *Proxy) count(b []byte, m *meter) (int, bool) {
	n := len(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if m == &p.requests && len(p.asked)+n <= 64<<10 {
		p.asked = append(p.asked, b...)
	}
	if m.cut >= 0 && m.passed+n > m.cut {
		n = m.cut - m.passed
		m.passed, m.cut = m.cut, -1
		return n, true
	}
	m.passed += n
	return n, false
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listen.Close()
	p.Drop()
	p.done.Wait()
}
