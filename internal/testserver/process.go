package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is one server, which may be killed and started again.
type process struct {
	path string
	args []string
	dir  string

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
}

// program finds a server's binary or says which package has it.
func program(name, debian string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("testserver: %s is not installed: on Debian: apt-get install %s; make test does it where it may: %w", name, debian, err)
	}
	return path, nil
}

// start runs the server. It is started from a thread of its own which lives as long as the server: the kernel kills the server when
// that thread ends, and so with this process.
func (p *process) start() error {
	if p.running() {
		return errors.New("testserver: it runs already")
	}
	out, err := os.OpenFile(p.dir+"/output", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("testserver: %s: %w", p.path, err)
	}
	p.cmd, p.exited = cmd, exited
	return nil
}

func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill is kill -9, and waits until the process is gone. It works on a stopped process too.
func (p *process) kill() error {
	if !p.running() {
		return nil
	}
	err := p.cmd.Process.Kill()
	<-p.exited
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (p *process) signal(sig syscall.Signal) error {
	if !p.running() {
		return errors.New("testserver: the server does not run")
	}
	if err := p.cmd.Process.Signal(sig); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// until calls ready again and again until it gives nil, the process has ended, or ctx has.
func (p *process) until(ctx context.Context, ready func() error) error {
	return poll(ctx, func() error {
		if !p.running() {
			return final{fmt.Errorf("testserver: the server ended by itself; its last words:\n%s", p.lastWords())}
		}
		return ready()
	})
}

// lastWords is the end of what the server printed.
func (p *process) lastWords() string {
	b, _ := os.ReadFile(p.dir + "/output")
	return string(b[max(0, len(b)-2000):])
}
