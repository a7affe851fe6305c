package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/stemd/stem/internal/proc"
	"golang.org/x/sys/unix"
)

const (
	// reapPause bounds how often the host's processes are looked through for zombies.
	reapPause = 200 * time.Millisecond
	// reapRounds bounds the generations of processes that are ended after a death: each may have started further ones.
	reapRounds = 100
	// reapWait is how long a killed process may take to die before it is left to Run.
	reapWait = 250 * time.Millisecond
)

// Reaper makes this process the parent of what plugin processes leave behind, also of what has left their process groups, ends it
// when they die, and reaps it. All pools of a program share one. It is for programs whose children in process groups of their own
// are plugins and nothing else, as stemd: it never waits for a child that a pool started, nor for one in this process's own
// group. Without a Reaper such processes live on until the next Sweep. Safe for concurrent use; nil is none.
type Reaper struct {
	mu  sync.Mutex
	own map[int]bool // processes started here: os/exec waits for them
}

// NewReaper returns a Reaper. It has no effect before Run.
func NewReaper() *Reaper { return &Reaper{own: map[int]bool{}} }

// Run makes this process a subreaper (PID 1 is one anyway) and reaps until ctx ends.
func (r *Reaper) Run(ctx context.Context) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of what plugins leave behind: %w", err)
	}
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, syscall.SIGCHLD)
	defer signal.Stop(deaths)
	for {
		r.reap()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reapPause):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-deaths:
		}
	}
}

// start is cmd.Start for a process that is not to be taken for an adopted one, however soon it dies.
func (r *Reaper) start(cmd *exec.Cmd) error {
	if r == nil {
		return cmd.Start()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err := cmd.Start()
	if err == nil {
		r.own[cmd.Process.Pid] = true
	}
	return err
}

// waited notes that the process was waited for: its pid may come back as another's.
func (r *Reaper) waited(pid int) {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.own, pid)
	}
}

// adopted lists the children of this process that nobody here started; the caller holds the lock.
func (r *Reaper) adopted() []proc.Child {
	children, err := proc.Children(os.Getpid())
	if err != nil {
		return nil
	}
	group, kept := unix.Getpgrp(), children[:0]
	for _, c := range children {
		if !r.own[c.Pid] && c.Group != group {
			kept = append(kept, c)
		}
	}
	return kept
}

// reap waits for the adopted ones that are dead, each by its own pid: waiting for any child would take deaths from os/exec.
func (r *Reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.adopted() {
		if c.Zombie {
			_, _ = unix.Wait4(c.Pid, nil, unix.WNOHANG, nil)
		}
	}
}

// end kills what the dead process whose private directory is dir left behind, and what that leaves. By the time a process can be
// waited for, the kernel has given us its children.
func (r *Reaper) end(dir string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for range reapRounds {
		killed := false
		for _, c := range r.adopted() {
			if !c.Zombie && proc.Environ(c.Pid, "TMPDIR="+dir+"/") {
				if c.Group == c.Pid {
					_ = unix.Kill(-c.Pid, unix.SIGKILL)
				}
				killed = unix.Kill(c.Pid, unix.SIGKILL) == nil || killed
				await(c.Pid)
			}
		}
		if !killed {
			return
		}
	}
}

// await waits a little for a killed child.
func await(pid int) {
	for deadline := time.Now().Add(reapWait); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == pid || errors.Is(err, unix.ECHILD) {
			return
		}
	}
}
