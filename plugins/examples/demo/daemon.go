package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/config/env"
)

// plugins are the examples the demo runs, by binary name.
var plugins = []string{"media", "archive", "chaos"}

// daemon is a running stemd -dev.
type daemon struct {
	cmd    *exec.Cmd
	info   env.DevInfo
	exited chan error
	log    string
}

// startDaemon starts stemd -dev and waits until its store can be opened.
func startDaemon(ctx context.Context, bin, data string) (*daemon, error) {
	if info, running, err := env.ReadDev(os.Getenv); err == nil && running {
		return nil, fmt.Errorf("stemd -dev is already running (pid %d, data %s): stop it first, kill %d", info.Pid, info.Dir, info.Pid)
	}
	args := []string{"-dev", "-data", data}
	for _, name := range plugins {
		args = append(args, filepath.Join(bin, name))
	}
	logPath := filepath.Join(data, "demo", "stemd.log")
	if err := os.MkdirAll(filepath.Dir(logPath), 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d := &daemon{cmd: exec.Command(filepath.Join(bin, "stemd"), args...), exited: make(chan error, 1), log: logPath}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	// Its own group: Ctrl-C reaches the demo, which then stops the daemon in good order.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.exited <- d.cmd.Wait() }()
	err = d.poll(ctx, func() (bool, error) {
		info, running, err := env.ReadDev(os.Getenv)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil // not announced yet
		}
		d.info = info
		return running && info.Pid == d.cmd.Process.Pid, err
	})
	if err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// waitReady waits until every plugin has announced its tasks.
func (d *daemon) waitReady(ctx context.Context, store stem.Store) error {
	return d.poll(ctx, func() (bool, error) {
		page, err := store.Records.List(ctx, stem.RecordQuery{Kind: stem.KindManifest})
		return err == nil && len(page.Items) >= len(plugins), err
	})
}

func (d *daemon) poll(ctx context.Context, ready func() (bool, error)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case err := <-d.exited:
			d.exited <- err
			return fmt.Errorf("stemd ended before it was ready (%v); its last words:\n%s", err, d.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop drains the daemon and waits for its end.
func (d *daemon) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-d.exited:
		return err
	case <-time.After(30 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.exited
		return fmt.Errorf("stemd did not stop within 30 s and was killed; see %s", d.log)
	}
}

func (d *daemon) lastWords() string {
	b, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-10):], []byte("\n")))
}

func tilde(path string) string {
	if home, err := os.UserHomeDir(); err == nil && strings.HasPrefix(path, home+string(os.PathSeparator)) {
		return "~" + path[len(home):]
	}
	return path
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
