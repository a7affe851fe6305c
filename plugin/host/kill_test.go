package host_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/proc"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// reaping runs a Reaper, without which orphans go to PID 1, for the length of a test.
func reaping(t *testing.T) *host.Reaper {
	t.Helper()
	reaper := host.NewReaper()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- reaper.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return reaper
}

func TestWhatLeftItsProcessGroupDiesWithItsPlugin(t *testing.T) {
	reaper := reaping(t)
	r := up(t, "", func(c *host.Config) { c.Reaper, c.Processes.Max = reaper, 2 })
	var theirs, others [2]int
	scan := func(o plugin.Outcome, pids *[2]int) (pid int) {
		t.Helper()
		if _, err := fmt.Sscan(string(o.Result), &pids[0], &pids[1]); err != nil {
			t.Fatal(err)
		}
		return o.Pid
	}
	batch := make([]plugin.Attempt, 2) // one for each process
	for i := range batch {
		batch[i] = plugin.Attempt{ID: fmt.Sprint("g", i), Name: "grandchild", Epoch: 1, Body: []byte("grandchild setsid")}
	}
	r.Start(batch)
	owner := scan(r.outcome(t, "g0"), &theirs)
	if scan(r.outcome(t, "g1"), &others) == owner {
		t.Fatal("one process has both")
	}
	_ = syscall.Kill(owner, syscall.SIGKILL)
	r.until(t, "the death", func() bool { return !strings.Contains(fmt.Sprint(r.Stats().Pids), strconv.Itoa(owner)) })
	for _, pid := range theirs {
		gone(t, pid)
	}
	for _, pid := range others {
		if _, err := proc.StartTime(pid); err != nil {
			t.Error("a living plugin's grandchild died with another plugin")
		}
	}
	r.stop()
	for _, pid := range append(theirs[:], others[:]...) {
		gone(t, pid)
	}
	r.until(t, "no zombie to be left", func() bool { return len(zombies(t)) == 0 })
}

func TestAnOrphanThatDiesByItselfIsReaped(t *testing.T) {
	reaper := reaping(t)
	r := up(t, "", func(c *host.Config) { c.Reaper = reaper })
	o := r.run("orphan") // a shell that has left, and its child, which ends at once
	pid, err := strconv.Atoi(strings.TrimSpace(string(o.Result)))
	if err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	r.until(t, "the orphan to be reaped", func() bool { _, err := proc.StartTime(pid); return err != nil })
}

func TestTheReaperTakesNoDeathFromOthers(t *testing.T) {
	reaping(t)
	for range 20 {
		cmd := exec.Command("sh", "-c", "exit 7")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		orphan := exec.Command("sh", "-c", "setsid sh -c 'exit 3' & exec true") // wakes the reaper
		if err := orphan.Run(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 7 {
			t.Fatalf("exit code %d, want 7", code)
		}
	}
}

// zombies lists the dead children of this process.
func zombies(t *testing.T) (pids []int) {
	t.Helper()
	children, err := proc.Children(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range children {
		if c.Zombie {
			pids = append(pids, c.Pid)
		}
	}
	return pids
}

func TestAHardLimitAndAForcedCancelLeaveTheStacksApart(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.PerProcess = 2 }, (*host.Pool).Patient)
	for range 3 {
		r.untilUp()
		o := r.run("spin", hard(50*time.Millisecond))
		wantFailure(t, o, stem.ClassTimeout, "hard limit 50ms exceeded; killed pid ")
		if strings.Contains(o.Error.Message, "goroutine") {
			t.Errorf("the stacks are evidence and not a message: %s", o.Error.Message)
		}
	}
	for _, l := range r.lines() {
		if strings.Contains(l.Message, "goroutine ") || strings.Contains(l.Message, "SIGQUIT") {
			t.Errorf("a stack is logged: %s", l.Message)
		}
	}
	r.until(t, "three dumps in the log", func() bool { return strings.Count(r.log.String(), "stacks=") == 3 })
}

func TestAProcessThatGivesNoStacksIsKilledAllTheSame(t *testing.T) {
	for _, body := range []string{"stop", "deaf"} { // stopped, and one that ignores SIGQUIT
		r := up(t, "", nil)
		wantFailure(t, r.run(body, hard(50*time.Millisecond)), stem.ClassTimeout, "hard limit 50ms")
	}
	r := up(t, "plain", nil) // not known to be a Go program: SIGQUIT might write a core file
	o := r.run("spin", hard(50*time.Millisecond))
	wantFailure(t, o, stem.ClassTimeout, "hard limit 50ms")
	if evidenceOf(t, o).Stack != "" {
		t.Error("a plugin that does not say so is not asked for its stacks")
	}
}

func TestALostLeaseIsNotKeptWaitingForStacks(t *testing.T) {
	r := up(t, "", nil, (*host.Pool).Patient)
	id := r.give("stop") // it gives no stacks: who asked for them would wait for an hour
	r.Cancel(id, 1, "lost-lease", true)
	wantFailure(t, r.outcome(t, id), stem.ClassLostLease)
}
