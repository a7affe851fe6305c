package host_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

func TestASpareTakesOverWhenAProcessDies(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Processes.Spare = 1 })
	r.until(t, "a spare", func() bool { return r.Stats().Spares == 1 })
	if r.Free() != 1 || r.Stats().Up != 1 {
		t.Errorf("a spare counts no slots: %d free, %+v", r.Free(), r.Stats())
	}
	pid := r.Stats().Pids[0]
	for range 3 {
		r.run("exit")
		r.until(t, "the spare in its place, and another spare", func() bool {
			s := r.Stats()
			return s.Up == 1 && s.Spares == 1 && s.Pids[0] != pid
		})
		pid = r.Stats().Pids[0]
		if o := r.run("echo on"); o.Kind != plugin.Success || o.Pid != pid {
			t.Errorf("got %+v", o)
		}
	}
}

// flow gives n attempts as there is room and waits for their ends; they must succeed. It returns how many each process ran.
func (r *rig) flow(n int, body string) map[int]int {
	r.t.Helper()
	var ids []string
	for len(ids) < n {
		r.until(r.t, "room", func() bool { return r.Free() > 0 })
		ids = append(ids, r.give(body))
	}
	ran := map[int]int{}
	for _, id := range ids {
		o := r.outcome(r.t, id)
		if o.Kind == plugin.NotRun { // given back, as a daemon would it runs again
			o = r.again(body)
		}
		if o.Kind != plugin.Success {
			r.t.Fatalf("%+v %+v", o, o.Error)
		}
		ran[o.Pid]++
	}
	return ran
}

func (r *rig) again(body string) plugin.Outcome {
	r.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		r.until(r.t, "room", func() bool { return r.Free() > 0 })
		if o := r.run(body); o.Kind != plugin.NotRun {
			return o
		}
	}
	r.t.Fatal("it is given back for ever")
	return plugin.Outcome{}
}

func TestAProcessIsReplacedAfterItsTasksAndNothingIsLost(t *testing.T) {
	for name, c := range map[string]struct{ tasks, perProcess, processes, n int }{
		"one task a process": {1, 1, 2, 12},
		"in sequence":        {20, 1, 1, 200},
		"shared":             {30, 4, 2, 300},
	} {
		t.Run(name, func(t *testing.T) {
			r := up(t, "", func(cfg *host.Config) {
				cfg.Recycle.Tasks, cfg.PerProcess, cfg.Processes.Max = c.tasks, c.perProcess, c.processes
			})
			ran := r.flow(c.n, "sleep 1ms")
			if len(ran) < c.n/c.tasks {
				t.Errorf("%d processes ran %d tasks", len(ran), c.n)
			}
			for pid, n := range ran {
				if n > c.tasks {
					t.Errorf("process %d ran %d tasks, at most %d are allowed", pid, n, c.tasks)
				}
			}
			if s := r.Stats(); s.Restarts != 0 {
				t.Errorf("a replacement is no restart after a death: %+v", s)
			}
		})
	}
}

func TestAProcessThatIsReplacedEndsWhatItRuns(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Recycle.Age, c.PerProcess = 300*time.Millisecond, 2 })
	pid := r.Stats().Pids[0]
	long := r.give("sleep 800ms")
	r.until(t, "a successor", func() bool { pids := r.Stats().Pids; return len(pids) > 0 && pids[len(pids)-1] != pid })
	if o := r.again("echo x"); o.Kind != plugin.Success || o.Pid == pid {
		t.Errorf("got %+v", o)
	}
	if o := r.outcome(t, long); o.Kind != plugin.Success || o.Pid != pid {
		t.Errorf("got %+v %v", o, o.Error)
	}
	gone(t, pid)
	r.untilSaid("why=age")
}

func TestAProcessThatHasGrownIsReplacedBetweenTasks(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Recycle.Memory = 200 << 20 })
	pid := r.Stats().Pids[0]
	if o := r.run("hoard 300 0"); o.Kind != plugin.Success {
		t.Fatalf("it may end its task: %+v", o)
	}
	r.until(t, "a successor", func() bool { s := r.Stats(); return s.State == "ok" && s.Pids[0] != pid })
	gone(t, pid)
	if r.Stats().Restarts != 0 {
		t.Error("it did not die")
	}
}

// zero is a pool that is empty while there is nothing to do.
func zero(c *host.Config) {
	c.Processes.Min, c.Processes.IdleTTL, c.Processes.Scale.DownCooldown = -1, 50*time.Millisecond, time.Millisecond
}

func TestAPoolMayBeEmptyAndATaskStartsIt(t *testing.T) {
	r := start(t, "", zero)
	for range 2 {
		r.until(t, "nobody there", func() bool { s := r.Stats(); return s.State == stem.PoolIdle && s.Up == 0 && len(s.Pids) == 0 })
		if r.Manifest().Name != "fixture" {
			t.Error("what it can do is known all the same")
		}
		if r.Free() != 1 {
			t.Fatalf("%d free, want what one process runs", r.Free())
		}
		id := r.give("echo hello")
		if o := r.outcome(t, id); o.Kind != plugin.Success || string(o.Result) != "hello" {
			t.Fatalf("got %+v %v", o, o.Error)
		}
	}
	r.until(t, "nobody there", func() bool { return len(r.Stats().Pids) == 0 && r.Free() == 1 })
	waiting := r.give("echo late")
	r.Recall()
	if o := r.outcome(t, waiting); o.Kind == plugin.Failure { // it was given back, or had started
		t.Errorf("got %+v", o.Error)
	}
}

func TestAPoolFollowsItsBacklog(t *testing.T) {
	r := up(t, "", func(c *host.Config) {
		c.Processes = host.Processes{Min: 1, Max: 3, IdleTTL: 100 * time.Millisecond}
		c.Processes.Scale.UpCooldown, c.Processes.Scale.DownCooldown = time.Millisecond, time.Millisecond
	})
	if s := r.Stats(); s.Size != 1 || !r.Scales() {
		t.Fatalf("%+v", s)
	}
	r.until(t, "three processes", func() bool { r.Backlog(10); return r.Stats().Up == 3 })
	long := r.give("sleep 1s")
	r.until(t, "one process", func() bool { r.Backlog(0); return r.Stats().Up == 1 })
	if o := r.outcome(t, long); o.Kind != plugin.Success {
		t.Errorf("shrinking ends nobody's work: %+v", o.Error)
	}
	if s := r.Stats(); s.Restarts != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAPluginThatDoesNothingButDieIsQuarantinedUntilItProvesItself(t *testing.T) {
	r := start(t, "doomed", func(c *host.Config) {
		c.Restart.Attempts, c.Restart.MaxDelay, c.Processes.Max, c.Processes.Spare = 3, time.Minute, 2, 1
	})
	r.until(t, "the quarantine", func() bool { // for good: one process may be starting when it begins
		s := r.Stats()
		return strings.HasPrefix(s.State, "quarantined: its processes die (") && strings.Contains(s.State, "exit status 6") && r.Free() == 0
	})
	r.untilSaid("stem plugin release media", "other plugins go on")
}

func TestDeadlyTasksInARowDoNotHoldUpThoseBehindThem(t *testing.T) {
	w := &worker{wake: make(chan struct{}, 1), state: map[string]plugin.Attempt{}, moved: time.Now()}
	for i := range 220 {
		a := plugin.Attempt{ID: fmt.Sprint("t", i), Name: "work", Epoch: 1, Queue: "innocent", Body: []byte("echo x")}
		if i < 20 {
			a.Queue, a.Body = "deadly", []byte(deadly[i%2])
		}
		w.todo = append(w.todo, a)
	}
	w.retries = 2 // at once, before the others
	w.run(t, host.Config{Processes: host.Processes{Max: 2}, Restart: host.Restart{Delay: time.Hour, MaxDelay: time.Hour}})
}

// hopeless is quarantined for long.
func hopeless(path string) func(*host.Config) {
	return func(c *host.Config) {
		c.Command = []string{path}
		c.Restart = host.Restart{Delay: time.Millisecond, MaxDelay: time.Hour, Attempts: 2}
	}
}

func TestANewBuildEndsAQuarantine(t *testing.T) {
	path := copySelf(t)
	good := path + ".good"
	if err := os.Rename(path, good); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := start(t, "", hopeless(path))
	r.until(t, "the quarantine", func() bool { return r.Stats().Quarantined })
	if err := os.Rename(good, path); err != nil {
		t.Fatal(err)
	}
	r.untilUp()
	if o := r.run("echo x"); o.Kind != plugin.Success {
		t.Errorf("got %+v", o)
	}
}

func TestAReleaseTriesAQuarantinedPluginNow(t *testing.T) {
	dir := t.TempDir()
	script := dir + "/media"
	flag := dir + "/licence"
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\ntest -e %s || exit 1\nexec %s\n", flag, os.Args[0]), 0o700); err != nil {
		t.Fatal(err)
	}
	r := start(t, "", hopeless(script))
	r.until(t, "the quarantine", func() bool { return r.Stats().Quarantined })
	r.Release()
	r.until(t, "a probe that fails", func() bool { return strings.Contains(r.Stats().State, "(3 times)") })
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Release()
	r.untilUp()
	if s := r.Stats(); s.Quarantined {
		t.Errorf("%+v", s)
	}
}
