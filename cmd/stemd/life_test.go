package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stemd/stem"
)

// load enqueues n tasks of ten milliseconds.
func (r *rig) load(n int) []*stem.Handle {
	r.Helper()
	calls := make([]stem.Call, n)
	for i := range calls {
		calls[i] = stem.Call{Name: "chaos.sleep", Args: rawJSON(`{"ms":10}`), Options: []stem.Option{stem.Queue("chaos")}}
	}
	results, err := r.client.EnqueueMany(r.Context(), calls...)
	if err != nil {
		r.Fatal(err)
	}
	handles := make([]*stem.Handle, n)
	for i, result := range results {
		handles[i] = r.client.Handle(result.ID)
	}
	return handles
}

func TestAfterAKillNothingIsLostAndNobodySurvives(t *testing.T) {
	r := newRig(t)
	plugins := chaos("  per_process = 4\n  processes {\n    max = 2\n  }")
	d := r.run(plugins)
	r.until("the heartbeat names the processes", func() bool { return len(r.children()) == 2 })
	pids := r.children()
	handles := r.load(600)
	for range 16 { // whenever the kill comes, something is left to do
		handles = append(handles, r.enqueue("chaos.sleep", `{"ms":500}`, stem.Queue("chaos")))
	}
	r.until("some have run", func() bool { return r.state(handles[50]) == stem.Succeeded })
	d.signal(syscall.SIGKILL)
	d.exits()
	r.gone(pids)
	if last := r.state(handles[len(handles)-1]); last.Terminal() {
		t.Fatal("the load was over before the kill: the test shows nothing")
	}
	r.run(plugins)
	for _, h := range handles {
		if s := r.wait(h); s.State != stem.Succeeded || s.Attempt != 0 {
			t.Fatalf("after the restart: %+v %+v", s, s.Error)
		}
	}
}

func TestSIGTERMWaitsForWhatRunsAndLeavesTheRest(t *testing.T) {
	r := newRig(t)
	d := r.run(chaos("  processes {\n    max = 1\n  }"))
	r.until("the heartbeat names the process", func() bool { return len(r.children()) == 1 })
	pids := r.children()
	running, waiting := r.enqueue("chaos.sleep", `{"ms":2500}`), r.enqueue("chaos.noop", `{}`)
	r.until("the first runs", func() bool { return r.state(running) == stem.Running })
	d.signal(syscall.SIGTERM)
	if code := d.exits(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if s := r.wait(running); s.State != stem.Succeeded {
		t.Errorf("what ran: %+v %+v", s, s.Error)
	}
	if s, err := waiting.Status(t.Context()); err != nil || s.State != stem.Queued || s.Attempt != 0 {
		t.Errorf("what waited: %+v, %v", s, err)
	}
	r.gone(pids)
}

func TestSIGINTGivesBackWhatDoesNotFinish(t *testing.T) {
	r := newRig(t)
	d := r.run(chaos(""))
	h := r.enqueue("chaos.sleep", `{"ms":60000}`)
	r.until("it runs", func() bool { return r.state(h) == stem.Running })
	d.signal(syscall.SIGINT)
	if code := d.exits(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if s, err := h.Status(t.Context()); err != nil || s.State != stem.Queued || s.Attempt != 0 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestASecondSignalStopsNow(t *testing.T) {
	r := newRig(t)
	d := r.start("-dev", "-data", r.dir, filepath.Join(bin, "chaos"))
	d.says("ready in")
	h := r.enqueue("chaos.ignore", `{"ms":60000}`)
	r.until("it runs", func() bool { return r.state(h) == stem.Running })
	d.signal(syscall.SIGINT)
	d.says("warm stop")
	d.signal(syscall.SIGINT)
	if code := d.exits(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if s, err := h.Status(t.Context()); err != nil || s.State != stem.Queued {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestABadReloadChangesNothingAndAGoodOneLosesNothing(t *testing.T) {
	r := newRig(t)
	d := r.run(chaos("  per_process = 2"))
	path := r.config(chaos("  per_proces = 4"))
	d.signal(syscall.SIGHUP)
	d.says("reload refused, still running the configuration of")
	d.says(`did you mean "per_process"?`)
	if err := os.WriteFile(path, []byte(fmt.Sprintf("broker { url = %q }\nnode = \"n\"\n%s", r.url, plugin("chaos", `"/nonexistent"`, ""))), 0o600); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGHUP)
	r.until("the plugin that does not start is refused", func() bool { return strings.Count(d.output(), "reload refused") == 2 })

	handles := r.load(400)
	r.config(chaos("  per_process = 8"))
	d.signal(syscall.SIGHUP)
	d.says("reloaded")
	for _, h := range handles {
		if s := r.wait(h); s.State != stem.Succeeded || s.Attempt != 0 {
			t.Fatalf("under the reload: %+v %+v", s, s.Error)
		}
	}
}

func TestAStopDoesNotWaitForAReloadUnderWay(t *testing.T) {
	r := newRig(t)
	d := r.run(chaos(""))
	broken := filepath.Join(r.dir, "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho one more broken start >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.config(plugin("chaos", fmt.Sprintf("%q", broken), ""))
	d.signal(syscall.SIGHUP)
	d.says("one more broken start")
	d.signal(syscall.SIGTERM)
	if code := d.exits(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d.says("reload refused")
	d.says("the daemon is stopping")
}

func TestTwoDaemonsOfOneNameAreOneTooMany(t *testing.T) {
	r := newRig(t)
	r.run(chaos(""))
	second := r.start("-config", filepath.Join(r.dir, "stem.hcl"))
	if code := second.exits(); code != exitRuntime || !strings.Contains(second.output(), "already runs") && !strings.Contains(second.output(), "node") {
		t.Errorf("exit code %d: %s", code, second.output())
	}
}

func TestAWrongStartSaysWhyAndStartsNothing(t *testing.T) {
	r := newRig(t)
	garbage := filepath.Join(r.dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	withStore := func(url string) []string {
		path := filepath.Join(r.dir, "other.hcl")
		if err := os.WriteFile(path, []byte(fmt.Sprintf("broker { url = %q }\n%s", url, chaos(""))), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"-config", path}
	}
	for _, c := range []struct {
		args func() []string
		code int
		says string
	}{
		{func() []string { return []string{"-config", r.config(chaos("  per_proces = 1"))} }, exitUsage, "nothing was started (exit 64)"},
		{func() []string { return []string{"-config", "/nonexistent.hcl"} }, exitUsage, "/nonexistent.hcl"},
		{func() []string { return nil }, exitUsage, "give -config FILE or -dev PLUGIN"},
		{func() []string { return []string{"-dev", "-data", r.dir, "/nonexistent"} }, exitUsage, "/nonexistent"},
		{func() []string { return []string{"-bogus"} }, exitUsage, "not defined: -bogus"},
		{func() []string { return withStore("sqlite://" + garbage) }, exitRuntime, "store is corrupt"},
		{func() []string { return withStore("sqlite://" + r.dir) }, exitRuntime, "directory"},
		{func() []string { return withStore("sqlite:///proc/stem.db") }, exitRuntime, "/proc/stem.db"},
		{func() []string { return withStore("nats://x") }, exitUsage, `other.hcl:1,16-26: url in broker: store URL "nats://x": unknown scheme "nats": known are memory, `},
	} {
		args := c.args()
		d := r.start(args...)
		if code := d.exits(); code != c.code || !strings.Contains(d.output(), c.says) {
			t.Errorf("%v: exit code %d, want %d; it said:\n%s\nwant %s", args, code, c.code, d.output(), c.says)
		}
	}
}
