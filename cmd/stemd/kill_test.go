package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/proc"
)

// running waits until all of the tasks run.
func (r *rig) running(hs []*stem.Handle) {
	r.Helper()
	for i, h := range hs {
		r.until(fmt.Sprintf("task %d of %d runs", i, len(hs)), func() bool { return r.state(h) == stem.Running })
	}
}

// marked lists the processes whose environment names a directory: those of the plugins of the stemds of this rig, and whatever
// these started.
func (r *rig) marked() (pids []int) {
	r.Helper()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		r.Fatal(err)
	}
	for _, d := range dirs {
		if pid, err := strconv.Atoi(d.Name()); err == nil && proc.Environ(pid, "TMPDIR="+r.dir+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestAfterAKillOfStemdWithAHundredTasksRunningEachRunsOnceMore(t *testing.T) {
	r := newRig(t)
	plugins := chaos("  per_process = 10\n  processes {\n    max = 10\n  }")
	d := r.run(plugins)
	r.until("ten processes", func() bool { return len(r.children()) == 10 })
	// Each leaves a line in a file when it starts: what ran how often is counted and not believed.
	journal := filepath.Join(r.dir, "journal")
	var handles []*stem.Handle
	for i := range 100 {
		handles = append(handles, r.enqueue("chaos.note", fmt.Sprintf(`{"ms":60000,"file":"%s","message":"t%d"}`, journal, i)))
	}
	r.running(handles)
	r.until("a hundred lines", func() bool { return lines(t, journal) == 100 })
	d.signal(syscall.SIGKILL)
	d.exits()
	r.until("no plugin process survives", func() bool { return len(r.marked()) == 0 })
	if n := lines(t, journal); n != 100 {
		t.Errorf("%d starts before the restart, want 100", n)
	}
	second := r.run(plugins)
	r.running(handles)
	r.until("two hundred lines", func() bool { return lines(t, journal) >= 200 })
	second.signal(syscall.SIGKILL)
	second.exits()
	count := map[string]int{}
	b, _ := os.ReadFile(journal)
	for _, line := range strings.Fields(string(b)) {
		count[line]++
	}
	if len(count) != 100 {
		t.Errorf("%d tasks ran, want 100", len(count))
	}
	for id, n := range count {
		if n != 2 {
			t.Errorf("%s ran %d times, want twice: before the kill and after", id, n)
		}
	}
	for _, h := range handles {
		if s, err := h.Status(t.Context()); err != nil || s.Attempt != 0 {
			t.Errorf("an interrupted task spent an attempt: %+v, %v", s, err)
		}
	}
}

func lines(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// chaos.ignore is exclusive by the configuration, chaos.alone by its definition.
func TestAnExclusiveTaskDiesBeforeItsLeaseWhenTheStoreIsLocked(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.dir, "stem.hcl")
	hcl := fmt.Sprintf("broker { url = %q }\nnode = \"n\"\nworker {\n  heartbeat = \"1s\"\n  lease = \"10s\"\n}\n%s", r.url,
		chaos("  processes {\n    max = 2\n  }\n  task \"chaos.ignore\" {\n    exclusive = true\n  }"))
	if err := os.WriteFile(path, []byte(hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	d := r.start("-config", path)
	d.says("ready in")
	r.until("the heartbeat names the processes", func() bool { return len(r.children()) == 2 })
	hs := []*stem.Handle{r.enqueue("chaos.ignore", `{"ms":600000}`), r.enqueue("chaos.alone", `{"ms":600000}`)}
	r.running(hs)
	pids := r.children()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(r.dir, "stem.db")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lock, err := db.Begin() // from here on nobody else writes: no lease is renewed
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback() //nolint:errcheck // done below unless the test failed
	r.gone(pids)
	var until int64
	if err := lock.QueryRow("SELECT min(until) FROM tasks WHERE state = 2").Scan(&until); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(time.UnixMicro(until)); left <= 0 {
		t.Errorf("the processes were seen dead %v after a lease had lapsed", -left)
	}
	if n := strings.Count(d.output(), "exclusive: the lease may lapse"); n != 2 {
		t.Errorf("%d attempts were killed for their leases, want both", n)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	r.until("new processes", func() bool { return len(r.children()) == 2 })
	r.running(hs)
	for _, h := range hs {
		if s, err := h.Status(t.Context()); err != nil || s.Attempt != 0 {
			t.Errorf("it spent an attempt: %+v, %v", s, err)
		}
	}
}

func TestWhatAPluginLeftOutsideItsGroupEndsWithIt(t *testing.T) {
	r := newRig(t)
	r.run(chaos("  processes {\n    max = 1\n  }"))
	s := r.wait(r.enqueue("chaos.fork", `{"ms":600000,"detach":true}`))
	var pid int
	if _, err := fmt.Sscanf(strings.Trim(string(s.Result), `"`), "child %d", &pid); err != nil {
		t.Fatalf("%s: %v", s.Result, err)
	}
	start, err := proc.StartTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	r.enqueue("chaos.exit", `{"code":3}`)
	r.gone(map[int]uint64{pid: start})
}

func TestAPluginHeedsNoSignalButSIGKILLAndItsSubprocessesDo(t *testing.T) {
	r := newRig(t)
	r.run(chaos("  per_process = 2\n  processes {\n    max = 1\n  }"))
	r.until("the heartbeat names the process", func() bool { return len(r.children()) == 1 })
	pids := r.children()
	h := r.enqueue("chaos.sleep", `{"ms":700}`)
	r.until("it runs", func() bool { return r.state(h) == stem.Running })
	for pid := range pids {
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE} {
			if err := syscall.Kill(pid, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := r.wait(h); s.State != stem.Succeeded || s.Attempt != 0 {
		t.Errorf("got %+v", s)
	}
	forked := r.wait(r.enqueue("chaos.fork", `{"ms":600000}`))
	var child int
	if _, err := fmt.Sscanf(strings.Trim(string(forked.Result), `"`), "child %d", &child); err != nil {
		t.Fatalf("%s: %v", forked.Result, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "SigIgn:")
	mask, err := strconv.ParseUint(strings.Fields(after)[0], 16, 64)
	if err != nil || mask&(1<<(syscall.SIGTERM-1)) != 0 {
		t.Errorf("a program that a handler starts ignores SIGTERM (mask %x, %v)", mask, err)
	}
	for pid, start := range pids {
		if !proc.Alive(pid, start) {
			t.Error("the plugin process was replaced")
		}
	}
}
