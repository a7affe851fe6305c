package host_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

func TestADeathIsClassifiedWithExitStatusAndLastWords(t *testing.T) {
	r := up(t, "", nil)
	for _, c := range []struct {
		body  string
		class stem.Class
		says  []string
	}{
		{"exit", stem.ClassExit, []string{"exit status 4", "out of luck"}},
		{"signal", stem.ClassCrash, []string{"signal: terminated"}},
		{"segfault", stem.ClassExit, []string{"exit status 2", "SIGSEGV: segmentation violation"}},
		{"kill", stem.ClassCrash, []string{"signal: killed"}},
		{"panic-elsewhere keys", stem.ClassExit, []string{"exit status 2", "panic: lost my keys", "goroutine "}},
	} {
		r.untilUp()
		pid := r.Stats().Pids[0]
		o := r.run(c.body)
		wantFailure(t, o, c.class, append(c.says, fmt.Sprint("pid ", pid))...)
		if o.Started.IsZero() || o.Pid != pid {
			t.Errorf("%s: %+v, want its start and pid", c.body, o)
		}
		r.until(t, "a replacement", func() bool { return r.Stats().Up == 1 && r.Stats().Pids[0] != pid })
	}
	if n := r.Stats().Restarts; n != 5 {
		t.Errorf("%d restarts, want 5", n)
	}
}

func TestASpinningHandlerIsKilledAtItsHardLimit(t *testing.T) {
	r := up(t, "", nil)
	pid := r.Stats().Pids[0]
	o := r.run("spin", hard(200*time.Millisecond))
	wantFailure(t, o, stem.ClassTimeout, "hard limit 200ms exceeded; killed pid ", fmt.Sprintf(" after %.3fs", o.Finished.Sub(o.Started).Seconds()))
	gone(t, pid) // it was dead before the outcome, so this does not wait
	if took := o.Finished.Sub(o.Started); took < 200*time.Millisecond {
		t.Errorf("killed after %v", took)
	}
	r.untilUp()
	if o := r.run("echo next"); o.Kind != plugin.Success {
		t.Errorf("got %+v", o)
	}
}

func TestALimitCountsFromTheStartOfItsHandler(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.SendAhead = 8 }, (*host.Pool).Patient)
	for range 12 {
		r.run("echo x")
	}
	a, b := r.attempt("stubborn 2500ms", fast), r.attempt("echo x", hard(2*time.Second))
	r.Start([]plugin.Attempt{a, b})
	if o := r.outcome(t, a.ID); o.Kind != plugin.Success {
		t.Errorf("got %+v", o)
	}
	if o := r.outcome(t, b.ID); o.Kind != plugin.Success {
		t.Errorf("waiting behind another task is not running: %+v %v", o, o.Error)
	}
}

func TestTheSoftLimitCancelsAndTheHardLimitKills(t *testing.T) {
	r := up(t, "", nil)
	wantFailure(t, r.run("sleep 1h", soft(30*time.Millisecond), hard(time.Hour)), stem.ClassError, "gave up: soft-limit")
	if r.Stats().Restarts != 0 {
		t.Error("the soft limit kills nobody")
	}
	wantFailure(t, r.run("stubborn 1h", soft(30*time.Millisecond), hard(80*time.Millisecond)), stem.ClassTimeout, "hard limit 80ms")
	if r.stop(); !slices.Equal(r.late, []string{"t1", "t2"}) {
		t.Errorf("over their soft limits: %v, want each attempt once", r.late)
	}
}

func TestASharedProcessKilledForOneTaskSparesTheOthers(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.PerProcess = 3 })
	done := r.run("echo done before")
	a, b := r.give("sleep 1h"), r.give("stubborn 1h")
	culprit := r.give("spin", hard(100*time.Millisecond))
	wantFailure(t, r.outcome(t, culprit), stem.ClassTimeout, "hard limit")
	wantNotRun(t, r.outcome(t, a), stem.ClassCollateral)
	wantNotRun(t, r.outcome(t, b), stem.ClassCollateral)
	if done.Kind != plugin.Success {
		t.Errorf("got %+v", done)
	}
}

func TestAForcedCancelKillsAtOnce(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.PerProcess = 2 })
	innocent, id := r.give("sleep 1h"), r.give("stubborn 1h")
	r.Cancel(id, 1, "cancelled", true)
	wantFailure(t, r.outcome(t, id), stem.ClassCancelled, "cancelled; killed pid ")
	wantNotRun(t, r.outcome(t, innocent), stem.ClassCollateral)
}

func TestInASharedProcessThatCrashesOnlyWhatRanIsBlamed(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.PerProcess, c.SendAhead = 2, 8 })
	for range 12 {
		r.run("echo x")
	}
	beside := r.give("stubborn 300ms", fast)
	crash := r.give("exit", fast)
	behind := r.give("echo behind", fast)
	wantFailure(t, r.outcome(t, crash), stem.ClassExit, "exit status 4")
	if o := r.outcome(t, beside); o.Kind == plugin.Failure {
		t.Errorf("it ran beside one that crashed, and then alone to its end: %+v", o.Error)
	}
	if o := r.outcome(t, behind); o.Kind == plugin.Failure {
		t.Errorf("it had not started, or had returned: %+v", o.Error)
	}
}

func TestTheRegisterFindsTheOneThatCrashedAmongThoseSentAhead(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.SendAhead = 16 })
	for range 12 {
		r.run("echo x")
	}
	for range 20 {
		r.until(t, "room to send ahead", func() bool { return r.Free() > 8 })
		crash := -1
		var ids []string
		var batch []plugin.Attempt
		for i := range 8 {
			body := "echo x"
			if i == r.n%8 {
				body, crash = "exit", i
			}
			ids = append(ids, fmt.Sprintf("b%d-%d", r.n, i))
			batch = append(batch, plugin.Attempt{ID: ids[i], Name: "echo", Epoch: 1, Body: []byte(body)})
		}
		r.n++
		r.Start(batch)
		for i, id := range ids {
			o := r.outcome(t, id)
			if i == crash {
				wantFailure(t, o, stem.ClassExit, "exit status 4")
			} else if o.Kind == plugin.Failure {
				t.Fatalf("attempt %d of a process that attempt %d crashed is blamed: %v", i, crash, o.Error)
			}
		}
		r.untilUp()
		for range 2 { // settle something, so that the next death is not the second in a row
			r.run("echo x")
		}
	}
}

func TestAGrandchildThatHoldsThePipesDoesNotHideADeath(t *testing.T) {
	r := up(t, "", nil)
	for _, how := range []string{"group", "setsid"} {
		r.untilUp()
		pid := r.Stats().Pids[0]
		var shell, sleeper int
		if _, err := fmt.Sscan(string(r.run("grandchild "+how).Result), &shell, &sleeper); err != nil {
			t.Fatal(err)
		}
		if how == "setsid" {
			defer func() { _ = syscall.Kill(-shell, syscall.SIGKILL) }()
		}
		wantFailure(t, r.run("exit"), stem.ClassExit, "exit status 4", "out of luck") // the sleeper would hold the pipes for 300 s
		gone(t, pid)
		if how == "group" {
			gone(t, sleeper)
		}
	}
}

func TestADamagedRegisterCostsItsProcessOnly(t *testing.T) {
	r := up(t, "", nil)
	o := r.run("cut-register")
	wantFailure(t, o, stem.ClassExit, "SIGBUS")
	r.untilSaid("register can not be read: blame is a guess")
	r.untilUp()
	if o := r.run("echo on"); o.Kind != plugin.Success {
		t.Errorf("got %+v", o)
	}
}

func TestARunningPoolGoesOnThroughManyCrashes(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Processes.Max = 2 })
	for i := range 40 {
		body, kind := "echo x", plugin.Success
		if i%4 == 3 {
			body, kind = "kill", plugin.Failure
		}
		var o plugin.Outcome
		for o.Kind = plugin.NotRun; o.Kind == plugin.NotRun; { // as a worker does
			r.until(t, "room", func() bool { return r.Free() > 0 })
			o = r.run(body)
		}
		if o.Kind != kind {
			t.Errorf("attempt %d: %+v", i, o)
		}
	}
	r.until(t, "a restart for each of ten deaths", func() bool { return r.Stats().Restarts == 10 })
}
