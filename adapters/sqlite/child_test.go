package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
)

// childOrder in the environment makes this test binary a process that does one thing to a store: "role URL name". It ends by itself
// or when its standard input does.
const childOrder = "STEM_TEST_SQLITE_CHILD"

// obey carries out an order.
func obey(order string) error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	words := strings.Fields(order)
	url, name := words[1], words[2]
	if words[0] == "look" { // opens it itself, again and again
		return look(ctx, url)
	}
	store, err := sqlite.Open(ctx, url)
	if err != nil {
		return err
	}
	role := map[string]func(context.Context, stem.Store, string) error{"work": work, "produce": produce, "settle": settleAll, "listen": listen}[words[0]]
	return errors.Join(role(ctx, store, name), store.Close())
}

// event is a line that a child said.
type event struct{ child, what, id string }

// child is a process that obeys an order.
type child struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	in   io.Closer
	said chan struct{} // closed when it says no more
}

// start starts a process whose lines go to events. The test ends it if it does not end before.
func start(t *testing.T, events chan<- event, role, url, name string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childOrder+"="+role+" "+url+" "+name, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, name: name, cmd: cmd, in: in, said: make(chan struct{})}
	go func() {
		defer close(c.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			what, id, _ := strings.Cut(lines.Text(), " ")
			events <- event{name, what, id}
		}
	}()
	return c
}

// end asks the process to end; wait waits until it has.
func (c *child) end() { _ = c.in.Close() }

func (c *child) wait() {
	<-c.said
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("process %s: %v", c.name, err)
	}
}

// tally counts what was said of each id until events is closed.
func tally(t *testing.T, events <-chan event) map[string]map[string]int {
	t.Helper()
	count := map[string]map[string]int{}
	for e := range events {
		if e.what == "error" {
			t.Errorf("process %s: %s", e.child, e.id)
		}
		if count[e.what] == nil {
			count[e.what] = map[string]int{}
		}
		count[e.what][e.id]++
	}
	return count
}
