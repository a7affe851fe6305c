package host_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

func selfSum(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func evidenceOf(t *testing.T, o plugin.Outcome) *plugin.Evidence {
	t.Helper()
	if o.Evidence == nil {
		t.Fatalf("no evidence of %+v", o)
	}
	return o.Evidence
}

func TestAnExitLeavesItsStatusWhatItUsedAndWhatItSaid(t *testing.T) {
	r := up(t, "", nil)
	r.run("print nobody asked for this line")
	r.until(t, "the line", func() bool { return len(r.logs) == 1 }) // its pipe may be slower than the outcome
	o := r.run("burn 1500ms exit")                                  // longer than from one look at its memory to the next
	e := evidenceOf(t, o)
	if e.ExitCode == nil || *e.ExitCode != 4 || e.Signal != "" || e.OOM || !e.Killed.IsZero() {
		t.Errorf("end %+v", e)
	}
	if o.Error.ExitCode == nil || *o.Error.ExitCode != 4 || o.Error.Signal != "" {
		t.Errorf("the error should carry the status as data: %+v", o.Error)
	}
	if e.PeakRSS < 48<<20 || e.CPU < 1500*time.Millisecond || e.Shared {
		t.Errorf("used %d bytes and %v, it burnt 48 MiB and 1.5 s", e.PeakRSS, e.CPU)
	}
	if e.Stderr != "burnt\nout of luck\n" {
		t.Errorf("stderr %q should be what the attempt wrote, and not the one before", e.Stderr)
	}
	if e.Version != "1" || e.SHA256 != selfSum(t) {
		t.Errorf("version %q, sha256 %q", e.Version, e.SHA256)
	}
}

func TestASignalIsNamed(t *testing.T) {
	r := up(t, "", nil)
	o := r.run("signal")
	if e := evidenceOf(t, o); e.Signal != "SIGTERM" || e.ExitCode != nil || o.Error.Signal != "SIGTERM" || o.Error.ExitCode != nil {
		t.Errorf("evidence %+v, error %+v", e, o.Error)
	}
}

func TestAKillAtTheHardLimitLeavesStacksAndItsTime(t *testing.T) {
	r := up(t, "", nil, (*host.Pool).Patient)
	o := r.run("burn 1h", hard(time.Second))
	e := evidenceOf(t, o)
	if !strings.Contains(e.Stack, "goroutine ") || strings.Contains(e.Stderr, "goroutine ") {
		t.Errorf("stack %q, stderr %q", e.Stack, e.Stderr)
	}
	if e.Killed.Before(o.Started.Add(time.Second)) || o.Finished.Before(e.Killed) {
		t.Errorf("started %v, killed %v, dead %v", o.Started, e.Killed, o.Finished)
	}
	if e.ExitCode != nil || o.Error.ExitCode != nil || o.Error.Signal != "" {
		t.Errorf("it did not end by itself: %+v %+v", e, o.Error)
	}
	if e.PeakRSS < 48<<20 || e.CPU <= 0 {
		t.Errorf("used %d bytes and %v", e.PeakRSS, e.CPU)
	}
}

func TestAnErrorOfALivingProcessHasASmallRecord(t *testing.T) {
	r := up(t, "", nil)
	o := r.run("burn 30ms error")
	e := evidenceOf(t, o)
	if e.PeakRSS < 48<<20 || e.CPU < 30*time.Millisecond || e.ExitCode != nil || e.Signal != "" || e.Version != "1" {
		t.Errorf("evidence %+v", e)
	}
	if o := r.run("echo x"); o.Evidence != nil {
		t.Errorf("a success leaves none: %+v", o.Evidence)
	}
}

func TestOfASharedProcessNobodyKnowsWhoUsedWhat(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.PerProcess = 4 }, (*host.Pool).Patient)
	other := r.give("stuck")
	r.until(t, "the other runs", func() bool { return len(r.progress) == 1 })
	o := r.run("spin", hard(100*time.Millisecond))
	if e := evidenceOf(t, o); !e.Shared || e.CPU != 0 || e.PeakRSS == 0 || e.Stack == "" {
		t.Errorf("evidence %+v", e)
	}
	o = r.outcome(t, other)
	if o.Kind != plugin.NotRun || o.Error.Class != stem.ClassCollateral || o.Started.IsZero() || evidenceOf(t, o).Killed.IsZero() {
		t.Errorf("what died with it should say so: %+v", o)
	}
}

func TestASilentHandlerIsKilledAndOneThatGivesSignsOfLifeIsNot(t *testing.T) {
	r := up(t, "", nil, (*host.Pool).Patient)
	beat := func(a *plugin.Attempt) { a.Heartbeat = 1500 * time.Millisecond }
	pid := r.Stats().Pids[0]
	o := r.run("alive 2s", beat)
	wantFailure(t, o, stem.ClassTimeout, "heartbeat_timeout 1.5s exceeded: no heartbeat and no progress for ", "killed pid")
	if o.Error.Type != "HeartbeatTimeout" || o.Finished.Sub(o.Started) < 3500*time.Millisecond || evidenceOf(t, o).Stack == "" {
		t.Errorf("it was alive for two seconds: %+v after %v", o.Error, o.Finished.Sub(o.Started))
	}
	gone(t, pid)
	r.untilUp()
	wantFailure(t, r.run("alive 1h", beat, hard(300*time.Millisecond)), stem.ClassTimeout, "hard limit 300ms exceeded")
	r.untilUp()
	if o := r.run("sleep 50ms", beat); o.Kind != plugin.Success {
		t.Errorf("a handler faster than that needs no heartbeat: %+v", o)
	}
}

func TestAKillForMemoryIsToldWithTheLimitsInForce(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Limits = host.Limits{Memory: 200 << 20, Files: 128, CPU: 1} })
	o := r.run("hoard 300 3600000")
	e := evidenceOf(t, o)
	if o.Error.Class != stem.ClassOOM || !e.OOM || e.Killed.IsZero() {
		t.Errorf("evidence %+v, error %+v", e, o.Error)
	}
	if len(e.Limits) != 2 || e.Limits["memory"] != "200 MiB (RSS watch every 100ms)" || e.Limits["files"] != "128 (RLIMIT_NOFILE)" {
		t.Errorf("limits %q, want those that something enforces", e.Limits)
	}
	if e := evidenceOf(t, r.again("error")); e.Limits["files"] == "" || e.OOM {
		t.Errorf("evidence of a failure that its process survived: %+v", e)
	}
}
