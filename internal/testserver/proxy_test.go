package testserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/stemd/stem/internal/testserver"
)

// echo is a server that answers each line with the same line, and reports what it got.
func echo(t *testing.T) (addr string, got <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	lines := make(chan string, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadString('\n')
					if line != "" {
						lines <- line
					}
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, line)
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String(), lines
}

// ask sends a line over a new connection and gives what comes back until the connection ends or the line does.
func ask(t *testing.T, addr, line string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	defer c.Close()
	_, _ = io.WriteString(c, line)
	answer, _ := bufio.NewReader(c).ReadString('\n')
	return answer
}

func TestAProxyCutsAtExactlyTheByteItWasTold(t *testing.T) {
	addr, got := echo(t)
	p := testserver.NewProxy(t, addr)
	const line = "hello\n"
	if answer := ask(t, p.Addr, line); answer != line || <-got != line {
		t.Fatalf("uncut: %q", answer)
	}
	for n := range len(line) {
		p.CutRequest(n)
		if answer := ask(t, p.Addr, line); answer != "" || !p.Cut() {
			t.Errorf("request cut after %d: answer %q", n, answer)
		}
		if n > 0 {
			if arrived := <-got; arrived != line[:n] {
				t.Errorf("request cut after %d: the server got %q", n, arrived)
			}
		}
		p.CutReply(n)
		if answer := ask(t, p.Addr, line); answer != line[:n] || <-got != line || !p.Cut() {
			t.Errorf("reply cut before %d: answer %q", n, answer)
		}
		p.Heal()
		if answer := ask(t, p.Addr, line); answer != line || <-got != line {
			t.Errorf("healed: answer %q", answer)
		}
		if requests, replies := p.Passed(); fmt.Sprint(requests, replies) != "6 6" {
			t.Errorf("%d and %d bytes passed", requests, replies)
		}
	}
}

func TestAProxySaysWhereTheRequestsEnd(t *testing.T) {
	addr, _ := echo(t)
	p := testserver.NewProxy(t, addr)
	const ping, get = "*1\r\n$4\r\nPING\r\n", "*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n"
	ask(t, p.Addr, ping+get+"*1\r\n$4\r\nPI\n")
	if got, want := p.Asked(), []int{len(ping), len(ping + get)}; !slices.Equal(got, want) {
		t.Errorf("requests end at %v, want %v", got, want)
	}
	p.Heal()
	if got := p.Asked(); got != nil {
		t.Errorf("after healing they end at %v", got)
	}
}
