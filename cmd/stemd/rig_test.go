package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
	"github.com/stemd/stem/internal/proc"
)

// These tests run the real stemd with real plugin processes, as a user would.

// bin holds what TestMain built.
var bin string

func TestMain(m *testing.M) {
	code := func() int {
		dir, err := os.MkdirTemp("", "stemd-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		out, err := exec.Command("go", "build", "-o", dir+"/", "github.com/stemd/stem/cmd/stemd", "github.com/stemd/stem/cmd/stem",
			"github.com/stemd/stem/plugins/examples/chaos", "github.com/stemd/stem/plugins/examples/archive").CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}()
	os.Exit(code)
}

// build builds a package of the module in dir.
func build(t *testing.T, dir, out, pkg string, flags ...string) {
	t.Helper()
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", out, pkg)...)
	cmd.Dir = dir
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, b)
	}
}

// patience bounds every wait of a test; it is never a measurement.
const patience = 30 * time.Second

// rig is a directory with a store, and the stemds that run on it.
type rig struct {
	*testing.T
	dir    string
	url    string
	store  stem.Store
	client *stem.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := shortDir(t)
	return newRigIn(t, dir, dir)
}

// shortDir is a directory whose path leaves room for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "st")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newRigIn has its store in a directory of its own.
func newRigIn(t *testing.T, dir, data string) *rig {
	t.Helper()
	r := &rig{T: t, dir: dir, url: "sqlite://" + filepath.Join(data, "stem.db")}
	var err error
	if r.store, err = sqlite.Open(t.Context(), r.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	r.client = stem.NewClient(r.store)
	return r
}

// config writes a configuration with this rig's store.
func (r *rig) config(plugins string) string {
	r.Helper()
	path := filepath.Join(r.dir, "stem.hcl")
	hcl := fmt.Sprintf("broker { url = %q }\nnode = \"n\"\nworker {\n  heartbeat = \"1s\"\n}\n%s", r.url, plugins)
	if err := os.WriteFile(path, []byte(hcl), 0o600); err != nil {
		r.Fatal(err)
	}
	return path
}

func plugin(name, command, more string) string {
	return fmt.Sprintf("plugin %q {\n  command = [%s]\n%s\n}\n", name, command, more)
}

func chaos(more string) string {
	return plugin("chaos", fmt.Sprintf("%q", filepath.Join(bin, "chaos")), more)
}

// child is a running stemd.
type child struct {
	r      *rig
	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	out    bytes.Buffer
}

func (d *child) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(b)
}

func (d *child) output() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}

// start starts stemd and ends it with the test.
func (r *rig) start(args ...string) *child {
	r.Helper()
	return r.startIn("", args...)
}

// startIn starts stemd in a directory.
func (r *rig) startIn(dir string, args ...string) *child {
	r.Helper()
	d := &child{r: r, cmd: exec.Command(filepath.Join(bin, "stemd"), args...), exited: make(chan struct{})}
	d.cmd.Dir = dir
	d.cmd.Stdout, d.cmd.Stderr = d, d
	d.cmd.Env = append(os.Environ(), "HOME="+r.dir, "XDG_RUNTIME_DIR="+r.dir, "XDG_STATE_HOME=", "STEM_BROKER_URL=")
	if err := d.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	r.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.exited
		if r.Failed() {
			r.Logf("stemd said:\n%s", d.output())
		}
	})
	return d
}

// run starts stemd on plugins and waits until they have announced themselves.
func (r *rig) run(plugins string) *child {
	r.Helper()
	d := r.start("-config", r.config(plugins))
	d.says("ready in")
	return d
}

func (d *child) signal(s os.Signal) {
	d.r.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.r.Fatal(err)
	}
}

// says waits for a text in the output.
func (d *child) says(text string) {
	d.r.Helper()
	d.r.until("stemd says "+text, func() bool { return strings.Contains(d.output(), text) })
}

// exits waits for the end and returns the exit code.
func (d *child) exits() int {
	d.r.Helper()
	select {
	case <-d.exited:
	case <-time.After(patience):
		d.r.Fatalf("stemd does not end; it said:\n%s", d.output())
	}
	return d.cmd.ProcessState.ExitCode()
}

// until polls a condition.
func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			r.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

func (r *rig) enqueue(name, args string, opts ...stem.Option) *stem.Handle {
	r.Helper()
	h, err := r.client.Enqueue(r.Context(), name, rawJSON(args), opts...)
	if err != nil {
		r.Fatal(err)
	}
	return h
}

func (r *rig) wait(h *stem.Handle) stem.Status {
	r.Helper()
	ctx, stop := context.WithTimeout(r.Context(), patience)
	defer stop()
	s, err := h.Wait(ctx)
	if err != nil {
		r.Fatalf("%v, last %+v", err, s)
	}
	return s
}

func (r *rig) state(h *stem.Handle) stem.TaskState {
	s, err := h.Status(r.Context())
	if err != nil && !errors.Is(err, stem.ErrNotFound) {
		r.Fatal(err)
	}
	return s.State
}

// children are the plugin processes of a daemon, by its heartbeat.
func (r *rig) children() map[int]uint64 {
	r.Helper()
	beats, err := stem.Heartbeats(r.Context(), r.store)
	if err != nil {
		r.Fatal(err)
	}
	pids := map[int]uint64{}
	for _, hb := range beats {
		for _, pool := range hb.Pools {
			for _, pid := range pool.Pids {
				if start, err := proc.StartTime(pid); err == nil {
					pids[pid] = start
				}
			}
		}
	}
	return pids
}

func (r *rig) gone(pids map[int]uint64) {
	r.Helper()
	r.until("no plugin process survives", func() bool {
		for pid, start := range pids {
			if proc.Alive(pid, start) {
				return false
			}
		}
		return true
	})
}
