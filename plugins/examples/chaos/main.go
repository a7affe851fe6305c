// Command chaos is a handler plugin that misbehaves on request.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stemd/stem/plugin/sdk"
	"github.com/stemd/stem/plugins/examples/chaos/jobs"
)

func main() { sdk.Serve(newPlugin()) }

func newPlugin() *sdk.Plugin {
	p := sdk.New("chaos", "1.0.0")
	hoard := &hoard{}
	sdk.Handle(p, jobs.Noop, func(context.Context, jobs.Args) (string, error) { return "", nil })
	sdk.Handle(p, jobs.Sleep, sleep)
	sdk.Handle(p, jobs.Ignore, deaf)
	sdk.Handle(p, jobs.Alone, deaf)
	sdk.Handle(p, jobs.Fail, fail)
	sdk.Handle(p, jobs.Panic, func(_ context.Context, a jobs.Args) (string, error) { panic(text(a, "chaos")) })
	sdk.Handle(p, jobs.Exit, func(_ context.Context, a jobs.Args) (string, error) {
		fmt.Fprintln(os.Stderr, text(a, "exiting on request"))
		os.Exit(a.Code)
		return "", nil
	})
	sdk.Handle(p, jobs.Crash, func(context.Context, jobs.Args) (string, error) {
		return "", syscall.Kill(os.Getpid(), syscall.SIGKILL)
	})
	sdk.Handle(p, jobs.Spin, spin)
	sdk.Handle(p, jobs.Leak, hoard.leak)
	sdk.Handle(p, jobs.Fork, fork)
	sdk.Handle(p, jobs.Note, note)
	sdk.Handle(p, jobs.Say, func(_ context.Context, a jobs.Args) (string, error) {
		fmt.Fprintln(os.Stderr, text(a, "so be it"))
		return "said", nil
	})
	sdk.Handle(p, jobs.Flood, flood)
	sdk.Handle(p, jobs.Big, func(_ context.Context, a jobs.Args) (string, error) { return strings.Repeat("x", a.Bytes), nil })
	return p
}

func duration(a jobs.Args) time.Duration { return time.Duration(a.MS) * time.Millisecond }

func text(a jobs.Args, fallback string) string {
	if a.Message != "" {
		return a.Message
	}
	return fallback
}

func sleep(ctx context.Context, a jobs.Args) (string, error) {
	select {
	case <-time.After(duration(a)):
		return "slept", nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func deaf(_ context.Context, a jobs.Args) (string, error) {
	time.Sleep(duration(a))
	return "slept", nil
}

func fail(ctx context.Context, a jobs.Args) (string, error) {
	if a.Times > 0 && sdk.Task(ctx).Attempt() >= a.Times {
		return "succeeded at last", nil
	}
	err := errors.New(text(a, "failing on request"))
	if a.Type != "" {
		err = sdk.Typed(a.Type, err)
	}
	return "", err
}

func spin(_ context.Context, a jobs.Args) (string, error) {
	begun, n := time.Now(), 0
	for a.MS == 0 || time.Since(begun) < duration(a) {
		n++
	}
	return fmt.Sprintf("%d rounds", n), nil
}

// hoard keeps what is leaked.
type hoard struct {
	mu   sync.Mutex
	kept [][]byte
}

func (h *hoard) leak(ctx context.Context, a jobs.Args) (string, error) {
	b := make([]byte, a.Bytes)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1 // touch each page, or the kernel gives none
	}
	h.mu.Lock()
	h.kept = append(h.kept, b)
	n := len(h.kept)
	h.mu.Unlock()
	select {
	case <-time.After(duration(a)):
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	return fmt.Sprintf("%d allocations kept", n), nil
}

func fork(_ context.Context, a jobs.Args) (string, error) {
	cmd := exec.Command("sleep", fmt.Sprintf("%.3f", duration(a).Seconds()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: a.Detach}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	go cmd.Wait() //nolint:errcheck // only reaped
	return fmt.Sprintf("child %d", cmd.Process.Pid), nil
}

func note(_ context.Context, a jobs.Args) (string, error) {
	f, err := os.OpenFile(a.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(a.Message + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	time.Sleep(duration(a))
	return "noted", nil
}

func flood(ctx context.Context, a jobs.Args) (string, error) {
	line := text(a, "all work and no play")
	for range a.Lines {
		fmt.Fprintln(os.Stderr, line)
		sdk.Task(ctx).Logger().Info(line)
	}
	return fmt.Sprintf("%d lines", a.Lines), nil
}
