package host_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

func TestAHandlersResultErrorAndPanicComeBack(t *testing.T) {
	r := up(t, "", nil)
	o := r.run("echo hello")
	if o.Kind != plugin.Success || string(o.Result) != "hello" || o.Started.IsZero() || o.Finished.Before(o.Started) || o.Pid != r.Stats().Pids[0] {
		t.Errorf("got %+v, want hello with its times and pid", o)
	}
	wantFailure(t, r.run("error"), stem.ClassError, "no such picture")
	wantFailure(t, r.run("panic"), stem.ClassPanic, "index out of range")
	if got := r.Stats(); got.Restarts != 0 || got.Inflight != 0 || got.Up != 1 {
		t.Errorf("nothing should have died: %+v", got)
	}
	if m := r.Manifest(); m.Name != "fixture" || len(m.Tasks) != 1 || m.Tasks[0].Queue != "q" {
		t.Errorf("manifest %+v", m)
	}
}

func TestAProcessInheritsNothingButTheAllowList(t *testing.T) {
	t.Setenv("HOST_SECRET", "hunter2")
	t.Setenv("SMTP_URL", "smtp://here")
	t.Setenv("TZ", "UTC")
	r := up(t, "", func(c *host.Config) { c.Env = []string{"SMTP_URL", "NOT_SET"} })
	var env []string
	if err := json.Unmarshal(r.run("env").Result, &env); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(env, "\n")
	for _, want := range []string{"SMTP_URL=smtp://here", "TZ=UTC", "GOMAXPROCS=1", "PATH=", "TMPDIR="} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is missing in\n%s", want, all)
		}
	}
	allowed := []string{"PATH", "HOME", "TMPDIR", "TZ", "LANG", "SMTP_URL", "GOMAXPROCS", plugin.CookieKey}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !slices.Contains(allowed, name) && !strings.HasPrefix(name, "PLUGIN_") {
			t.Errorf("%s should not be inherited", name)
		}
	}
	if o := r.run("stdin"); o.Kind != plugin.Success || len(o.Result) != 0 {
		t.Errorf("stdin should be empty, got %+v", o)
	}
}

func TestChildrenProgressAndLogsReachTheSink(t *testing.T) {
	r := up(t, "", nil)
	if o := r.run("enqueue media.child"); string(o.Result) != "child-1" {
		t.Errorf("got %+v, want the child's id", o)
	}
	if len(r.children) != 1 || r.children[0].Header.Name != "media.child" || r.children[0].Key != "#1" {
		t.Errorf("children %+v", r.children)
	}
	wantFailure(t, r.run("headless"), stem.ClassError, "no header")
	r.run(`progress {"page":2}`)
	r.until(t, "progress", func() bool { return len(r.progress) == 1 })
	if p := r.progress[0]; p.Percent != 40 || string(p.Data) != `{"page":2}` {
		t.Errorf("progress %+v", p)
	}
	id := r.give("log half way")
	r.until(t, "the log record, with its attempt even after the outcome", func() bool {
		return slices.ContainsFunc(r.logs, func(l logged) bool {
			return l.ID == id && l.Message == "half way" && l.Level == 4 && string(l.Attrs) == `{"n":1}`
		})
	})
}

func TestAResultOverTheLimitIsAPermanentFailureThatSaysSo(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.MaxResult = 1000 })
	o := r.run("result 1001")
	wantFailure(t, o, stem.ClassError, "1001 bytes", "limit is 1000")
	if !o.Error.Permanent || o.Result != nil {
		t.Errorf("another attempt is pointless and the result is not kept: %+v", o)
	}
	if o := r.run("result 1000"); o.Kind != plugin.Success {
		t.Errorf("got %+v", o)
	}
}

func TestAFrameOf50MBEndsItsProcessAndNothingElse(t *testing.T) {
	r := up(t, "", nil)
	wantFailure(t, r.run("result 52428800"), stem.ClassCrash, "frame larger than 8388608 bytes")
	r.untilUp()
	if o := r.run("echo on"); o.Kind != plugin.Success {
		t.Errorf("the pool should go on: %+v", o)
	}
}

func TestOutcomesTheProcessDoesNotHoldAreIgnored(t *testing.T) {
	r := up(t, "", nil)
	for range 3 { // the cleanup of the rig counts outcomes
		if o := r.run("echo a", func(a *plugin.Attempt) { a.Queue = "twice" }); string(o.Result) != "a" {
			t.Errorf("got %+v", o)
		}
	}
	if n := strings.Count(r.log.String(), "does not hold"); n != 1 {
		t.Errorf("said %d times, want once", n)
	}
}

func TestCancelReachesTheHandlersContext(t *testing.T) {
	r := up(t, "", nil)
	id := r.give("sleep 1h")
	r.Cancel(id, 2, "cancelled", false) // another epoch: not this one
	r.Cancel(id, 1, "cancelled", false)
	wantFailure(t, r.outcome(t, id), stem.ClassCancelled, "gave up: cancelled")
}

func TestAFullPoolGivesTheRestBackAtOnce(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.PerProcess = 2 })
	if free := r.Free(); free != 2 {
		t.Fatalf("%d free, want 2: nothing is sent ahead of names never seen", free)
	}
	ids := []string{r.give("sleep 1h"), r.give("sleep 1h")}
	if free := r.Free(); free != 0 {
		t.Errorf("%d free, want none", free)
	}
	wantNotRun(t, r.run("echo c"), stem.ClassCollateral)
	for _, id := range ids {
		r.Cancel(id, 1, "cancelled", false)
		wantFailure(t, r.outcome(t, id), stem.ClassCancelled)
	}
}

func TestWorkIsSharedAmongProcesses(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.PerProcess, c.Processes.Max = 2, 2 })
	var batch []plugin.Attempt
	for i := range 4 {
		batch = append(batch, plugin.Attempt{ID: fmt.Sprint("b", i), Epoch: 1, Body: []byte("sleep 30ms")})
	}
	r.Start(batch)
	pids := map[int]int{}
	for _, a := range batch {
		pids[r.outcome(t, a.ID).Pid]++
	}
	if len(pids) != 2 || pids[os.Getpid()] != 0 {
		t.Errorf("ran in %v, want two in each of two processes", pids)
	}
}

func TestFastTasksAreSentAheadAndTakenBackFromBehindASlowOne(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.SendAhead = 4 })
	if r.Free() != 1 {
		t.Fatalf("%d free with no history, want 1", r.Free())
	}
	for range 12 {
		r.run("echo x")
	}
	if r.Free() != 5 {
		t.Fatalf("%d free after fast runs, want slot and 4 ahead", r.Free())
	}
	// The name is fast, this run is not: those behind it come back, and none is sent behind it again.
	batch := []plugin.Attempt{r.attempt("sleep 1h", fast), r.attempt("echo 1"), r.attempt("echo 2")}
	r.Start(batch)
	for _, a := range batch[1:] {
		wantNotRun(t, r.outcome(t, a.ID), stem.ClassDrain)
	}
	if r.Free() != 0 {
		t.Errorf("%d free behind a slow task, want none", r.Free())
	}
	r.Cancel(batch[0].ID, 1, "cancelled", false)
	r.outcome(t, batch[0].ID)
}

func TestRecallGivesBackOnlyWhatHasNotStarted(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.SendAhead = 8 }, (*host.Pool).Patient)
	for range 12 {
		r.run("echo x")
	}
	first, second := r.attempt("stuck", fast), r.attempt("echo 2")
	r.Start([]plugin.Attempt{first, second})
	r.until(t, "the first to run", func() bool { return len(r.progress) == 1 })
	r.Recall()
	wantNotRun(t, r.outcome(t, second.ID), stem.ClassDrain)
	if n := r.Stats().Inflight; n != 1 {
		t.Errorf("%d in flight, want the one that runs", n)
	}
	r.Cancel(first.ID, 1, "cancelled", true)
	wantFailure(t, r.outcome(t, first.ID), stem.ClassCancelled)
}

func TestAPluginWithoutRegisterGetsNothingAhead(t *testing.T) {
	r := up(t, "plain", nil)
	for range 12 {
		r.run("echo x")
	}
	if r.Free() != 1 {
		t.Errorf("%d free, want its slot only", r.Free())
	}
	wantFailure(t, r.run("spin", hard(50*time.Millisecond)), stem.ClassTimeout, "hard limit 50ms exceeded")
}

func TestABarePoolRunsTasksAndHearsNothing(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Bare, c.SendAhead = true, 4 })
	for range 12 {
		if o := r.run("print x"); o.Kind != plugin.Success {
			t.Fatalf("got %+v", o)
		}
	}
	r.run("echo x")
	r.stop()
	if lines := r.lines(); len(lines) != 0 {
		t.Errorf("heard %v", lines)
	}
}
