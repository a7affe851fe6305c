package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"
	"github.com/stemd/stem/internal/proc"
	"golang.org/x/sys/unix"
)

var _ runner.Runner = (*child)(nil)

// child is one operating system process in a process group of its own. To go-plugin it is the Runner; everything about its life
// and death happens here. Methods are safe for concurrent use.
type child struct {
	cmd     *exec.Cmd
	spawner *spawner
	reaper  *Reaper
	out     *output
	born    func(processID)
	// extra ends what only a resource group of the process knows of; called with every kill and after the death; nil: none.
	extra func()
	dir   string // private directory, the mark of its descendants
	mute  bool   // nobody reads what it prints to stderr
	// verified is the program that was compared with its pin, to be started instead of whatever its path leads to; nil: the path.
	verified *os.File
	limit    context.Context // when it ends before disarm, the process is killed: it did not become ready in time
	disarm   func() bool     // set by Start

	stdout    *io.PipeReader // the handshake line for go-plugin, then EOF
	handshake *handshake

	id    processID     // set by Start
	dead  chan struct{} // closed once the process is reaped and its pipes are drained; the fields below are set then
	state *os.ProcessState
	died  time.Time

	mu     sync.Mutex
	pid    int  // 0: not started
	killed bool // we sent SIGKILL
	asked  bool // we sent SIGQUIT, for its stacks, while it was alive
	reaped bool // the pid may belong to somebody else from here on
}

// newChild returns a child without a command yet; born is told of its process as soon as there is one.
func newChild(s *spawner, reaper *Reaper, dir string, out *output, born func(processID)) *child {
	r, w := io.Pipe()
	return &child{
		// Stdin stays nil: /dev/null.
		cmd:     &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}},
		spawner: s, reaper: reaper, dir: dir, out: out, born: born, stdout: r, handshake: &handshake{pipe: w, next: out.stdout}, dead: make(chan struct{}),
	}
}

// Start starts the process, the readers of its pipes and the wait for its death.
func (c *child) Start(context.Context) error {
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, outR.Close(), outW.Close())
	}
	c.cmd.Stdout, c.cmd.Stderr = outW, errW
	if c.mute {
		c.cmd.Stderr = nil // /dev/null
	}
	err = c.spawner.start(c.cmd)
	_, _ = outW.Close(), errW.Close()
	if err != nil {
		_, _ = outR.Close(), errR.Close()
		_ = c.handshake.pipe.Close()
		return err
	}
	c.id.Pid = c.cmd.Process.Pid
	c.id.Start, _ = proc.StartTime(c.id.Pid) // not reaped yet, so it is there; a zombie has one too
	c.mu.Lock()
	c.pid = c.id.Pid
	c.mu.Unlock()
	c.born(c.id)
	c.disarm = context.AfterFunc(c.limit, c.kill)
	var drains sync.WaitGroup
	ended := make(chan struct{})
	drains.Go(func() { drain(outR, c.handshake, ended); c.handshake.close() })
	drains.Go(func() { drain(errR, c.out.dump, ended) })
	go func() {
		c.wait()
		close(ended)
		drains.Wait()
		c.out.flush()
		close(c.dead)
	}()
	return nil
}

// wait waits for the process itself, never for its pipes. While the dead process is a zombie its pid and group id can not be
// reused, so that is the moment to end what it left in its group.
func (c *child) wait() {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, c.id.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.died = time.Now()
	c.mu.Lock()
	_ = unix.Kill(-c.id.Pid, unix.SIGKILL)
	_ = c.cmd.Wait() // stdout and stderr are files: it copies nothing and waits for nobody else
	c.state = c.cmd.ProcessState
	c.reaped = true
	c.mu.Unlock()
	c.reaper.waited(c.id.Pid)
	c.reaper.end(c.dir)
	if c.extra != nil {
		c.extra()
	}
}

// kill sends SIGKILL to the process group; a dead process is left alone.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid != 0 && !c.reaped {
		_ = unix.Kill(-c.pid, unix.SIGKILL)
		if c.extra != nil {
			c.extra()
		}
		c.killed = true
	}
}

// killWithDump has a Go runtime write the stacks of all goroutines, which ends it, and kills the group when that takes longer
// than patience. It does not wait. Only the process itself is asked: to its children the signal means something else.
func (c *child) killWithDump(patience time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == 0 || c.reaped || c.deadLocked() {
		return
	}
	c.out.dump.begin()
	c.asked = unix.Kill(c.pid, unix.SIGQUIT) == nil
	time.AfterFunc(patience, c.kill)
}

// deadLocked says whether the process is dead already, of whatever, though nobody has waited for it; the caller holds the lock.
func (c *child) deadLocked() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, c.pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

// started says whether the process ever was.
func (c *child) started() bool { return c.ID() != "" }

// killedByUs says whether our signal was its end and not something before it. Only after dead.
func (c *child) killedByUs() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked || c.killed && c.signal() == syscall.SIGKILL
}

// exit says in words how the process ended: "exit status 3", "signal: segmentation fault". Only after dead.
func (c *child) exit() string {
	if c.state == nil {
		return "unknown end"
	}
	return c.state.String()
}

// signal is the signal the process died of, 0: none. Only after dead.
func (c *child) signal() syscall.Signal {
	if c.state == nil {
		return 0
	}
	if status, ok := c.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal()
	}
	return 0
}

// Wait returns when the process is dead.
func (c *child) Wait(ctx context.Context) error {
	select {
	case <-c.dead:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill is what go-plugin calls when it gives a process up.
func (c *child) Kill(context.Context) error {
	c.kill()
	return nil
}

// ID is the pid, or empty before the start.
func (c *child) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == 0 {
		return ""
	}
	return strconv.Itoa(c.pid)
}

// Name is the path of the program.
func (c *child) Name() string { return c.cmd.Path }

// Diagnose adds nothing: the host words its own start errors.
func (c *child) Diagnose(context.Context) string { return "" }

// Stdout is the handshake line.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr is empty: go-plugin parses what it gets there and panics on some of it.
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// PluginToHost accepts unix sockets only.
func (c *child) PluginToHost(network, addr string) (string, string, error) {
	if network != "unix" {
		return "", "", fmt.Errorf("it listens on %s %s, want a unix socket", network, addr)
	}
	return network, addr, nil
}

// HostToPlugin changes nothing: both sides see the same files.
func (c *child) HostToPlugin(network, addr string) (string, string, error) { return network, addr, nil }
