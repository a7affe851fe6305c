package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/proc"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

func TestAStopLetsHandlersEndAndSpendsNoAttempt(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.PerProcess, c.Grace = 3, patience })
	heeds, finishes := r.give("sleep 1h"), r.give("stubborn 100ms")
	pid := r.Stats().Pids[0]
	r.stop()
	gone(t, pid)
	if s := r.Stats(); s.State != "stopping" || s.Up != 0 || s.Inflight != 0 {
		t.Errorf("stats after a stop: %+v", s)
	}
	if o := r.outcome(t, heeds); o.Kind != plugin.NotRun || o.Error.Class != stem.ClassDrain {
		t.Errorf("told to stop: got %+v", o)
	}
	// It was running or about to when the stop came; about to means taken back.
	if o := r.outcome(t, finishes); o.Kind == plugin.Failure {
		t.Errorf("got %+v", o)
	}
	wantNotRun(t, r.run("echo late"), stem.ClassCollateral)
}

func TestAStopKillsWhatDoesNotEndWithinTheGrace(t *testing.T) {
	for _, body := range []string{"spin", "stop"} { // stop: SIGSTOPped, it can not even be asked
		r := up(t, "", func(c *host.Config) { c.Grace = 50 * time.Millisecond })
		pid := r.Stats().Pids[0]
		id := r.give(body)
		for running := false; !running; { // it has begun: spinning, or stopped
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				t.Fatal(err)
			}
			running = body == "spin" || strings.Contains(string(stat), ") T ")
		}
		r.stop()
		gone(t, pid)
		wantNotRun(t, r.outcome(t, id), stem.ClassDrain)
	}
}

func TestAStoppedProcessIsKilledAtItsHardLimit(t *testing.T) {
	r := up(t, "", nil)
	wantFailure(t, r.run("stop", hard(100*time.Millisecond)), stem.ClassTimeout, "hard limit 100ms")
}

func TestAStopDuringAStartIsPrompt(t *testing.T) {
	r := start(t, "silent", func(c *host.Config) { c.Start = time.Hour })
	r.until(t, "its first words", func() bool { return len(r.logs) > 0 })
	r.stop() // waits no longer than patience, and leaves nothing
}

// victim is a host process of its own, to be killed: it runs two fixtures in dir, says their pids and waits.
func victim(dir string) {
	s := newSink()
	pool, err := host.New(host.Config{
		Name: "media", Command: []string{os.Args[0]}, Dir: dir, Processes: host.Processes{Max: 2},
	}, s, hclog.NewNullLogger())
	if err != nil {
		panic(err)
	}
	go func() { panic(pool.Run(context.Background())) }()
	for pool.Stats().Up < 2 {
		time.Sleep(time.Millisecond)
	}
	for i, how := range []string{"group", "setsid"} {
		id := fmt.Sprint(i)
		pool.Start([]plugin.Attempt{{ID: id, Epoch: 1, Body: []byte("grandchild " + how)}})
	}
	var o [2]plugin.Outcome
	for n := 0; n < 2; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		if n = len(s.outcomes); n == 2 {
			copy(o[:], s.outcomes)
		}
		s.mu.Unlock()
	}
	pids := pool.Stats().Pids
	fmt.Println(pids[0], pids[1], string(o[0].Result), string(o[1].Result))
	select {}
}

func TestAKilledHostLeavesNoProcessAfterTheNextSweep(t *testing.T) {
	dir := shortDir(t)
	cmd := exec.Command(os.Args[0], "host", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids [6]int // two plugins, two pairs of grandchildren
	for i := range pids {
		if _, err := fmt.Fscan(out, &pids[i]); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := host.Sweep(dir); n != 0 || err != nil {
		t.Fatalf("a sweep beside a living owner killed %d, %v", n, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone(t, pids[0]) // with their host, before any sweep
	gone(t, pids[1])
	killed, err := host.Sweep(dir)
	if err != nil || killed != 4 {
		t.Errorf("the sweep killed %d, %v; want both shells and both sleepers", killed, err)
	}
	for _, pid := range pids {
		gone(t, pid)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("the sweep left %v", left)
	}
}

func TestASweepKillsOnlyWhatADeadOwnerStarted(t *testing.T) {
	dir := shortDir(t)
	sleeper := func() (*exec.Cmd, uint64) {
		cmd := exec.Command("sleep", "300")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		start, err := proc.StartTime(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return cmd, start
	}
	orphan, orphanStart := sleeper()
	stranger, strangerStart := sleeper() // has the pid of a recorded child, not its start time
	own, ownStart := sleeper()
	self, err := proc.StartTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	record := func(name string, ownerStart uint64, children ...map[string]any) {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(map[string]any{"owner": map[string]any{"pid": os.Getpid(), "start": ownerStart}, "children": children})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name, "pool.json"), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	record("p1", self-1, // this pid, another process
		map[string]any{"pid": orphan.Process.Pid, "start": orphanStart},
		map[string]any{"pid": stranger.Process.Pid, "start": strangerStart + 1})
	record("p2", self, map[string]any{"pid": own.Process.Pid, "start": ownStart})
	if err := os.MkdirAll(filepath.Join(dir, "p3"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "p3", "pool.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}

	killed, err := host.Sweep(dir)
	if killed != 1 {
		t.Errorf("killed %d, want the orphan only", killed)
	}
	if err == nil || !strings.Contains(err.Error(), filepath.Join("p3", "pool.json")) {
		t.Errorf("a record that can not be read should be named, got %v", err)
	}
	gone(t, orphan.Process.Pid)
	if !proc.Alive(stranger.Process.Pid, strangerStart) || !proc.Alive(own.Process.Pid, ownStart) {
		t.Error("the sweep killed a stranger, or a living daemon's process")
	}
	if _, err := os.Stat(filepath.Join(dir, "p1")); !os.IsNotExist(err) {
		t.Errorf("p1 should be gone: %v", err)
	}
	if n, err := host.Sweep(filepath.Join(dir, "none")); n != 0 || err != nil {
		t.Errorf("a missing directory is an empty one: %d, %v", n, err)
	}
}
