package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stemd/stem"
)

// stemd is a running daemon.
type stemd struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	exited chan error
}

// startStemd runs stemd with one no-op plugin of one process on a store and waits until it has announced its tasks there.
func startStemd(ctx context.Context, s setting, store stem.Store, url string, perProcess int) (*stemd, error) {
	return startStemds(ctx, s, store, url, 1, perProcess)
}

func startStemds(ctx context.Context, s setting, store stem.Store, url string, processes, perProcess int) (*stemd, error) {
	file := filepath.Join(s.dir, "stem.hcl")
	hcl := fmt.Sprintf("broker { url = %q }\nplugin \"chaos\" {\n  command = [%q]\n  queues = { %s = 1 }\n  processes { max = %d }\n  per_process = %d\n}\n",
		url, filepath.Join(s.bin, "chaos"), queue, processes, perProcess)
	if err := os.WriteFile(file, []byte(hcl), 0o600); err != nil {
		return nil, err
	}
	d := &stemd{cmd: exec.Command(filepath.Join(s.bin, "stemd"), "-config", file), exited: make(chan error, 1)}
	d.cmd.Env = append(os.Environ(), "STEM_WORKER_NODE="+filepath.Base(s.dir))
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.exited <- d.cmd.Wait() }()
	for {
		page, err := store.Records.List(ctx, stem.RecordQuery{Kind: stem.KindManifest})
		if err != nil {
			return nil, err
		}
		if len(page.Items) > 0 {
			return d, nil
		}
		select {
		case err := <-d.exited:
			return nil, fmt.Errorf("stemd ended: %v\n%s", err, d.output.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (d *stemd) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-d.exited; err != nil {
		return fmt.Errorf("stemd: %w\n%s", err, d.output.String())
	}
	return nil
}

// usage is what a process and its children have used.
type usage struct {
	rss float64 // MB, of the process alone
	cpu float64 // seconds, with its children
}

func measure(pid int) usage {
	var u usage
	u.rss = rss(pid)
	for _, p := range append(children(pid), pid) {
		u.cpu += cpu(p)
	}
	return u
}

func rss(pid int) float64 { return megabytes(pid, "status", "VmRSS:") }

// pss is a process's share of memory in MB: what it has alone, and its part of what it shares with others.
func pss(pid int) float64 { return megabytes(pid, "smaps_rollup", "Pss:") }

// megabytes reads a figure that the kernel gives in kB.
func megabytes(pid int, file, field string) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	for line := range strings.Lines(string(b)) {
		if kb, ok := strings.CutPrefix(line, field); ok {
			n, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 64)
			return n / 1024
		}
	}
	return 0
}

// cpu is user and system time; the kernel counts in hundredths of a second.
func cpu(pid int) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

func children(pid int) []int {
	var pids []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		b, _ := os.ReadFile(path)
		for field := range strings.FieldsSeq(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
