package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/all"
	"github.com/stemd/stem/internal/testserver"
)

// newRigOn has its store on a server.
func newRigOn(t *testing.T, url string) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "st") // socket paths are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &rig{T: t, dir: dir, url: url}
	if r.store, err = all.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	r.client = stem.NewClient(r.store)
	return r
}

// claimsSince says whether the daemon's heartbeat tells of a claim after a moment: it does not only look alive.
func (r *rig) claimsSince(moment time.Time) bool {
	beats, err := stem.Heartbeats(r.Context(), r.store)
	return err == nil && len(beats) == 1 && beats[0].LastClaim.After(moment)
}

func TestADaemonClaimsAgainWhateverHappensToItsRedis(t *testing.T) {
	server := testserver.NewRedis(t, "appendfsync always")
	r := newRigOn(t, server.URL())
	d := r.run(chaos("  per_process = 4"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"kill -9 and a restart", func() {
			must(server.Kill())
			d.says("trying again every")
			must(server.Start(t.Context()))
		}},
		{"SCRIPT FLUSH", func() { must(server.Client.ScriptFlush(t.Context()).Err()) }},
		{"FLUSHALL", func() {
			must(server.Client.FlushAll(t.Context()).Err())
			d.says("store redis: the heartbeat of this daemon is gone before its time")
		}},
		{"its connections cut", func() {
			must(server.Client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err())
		}},
		{"a stop of seconds", func() {
			must(server.Pause())
			must(server.Resume())
		}},
	} {
		c.do()
		back := time.Now()
		r.until(c.what+": the daemon claims again", func() bool { return r.claimsSince(back) })
		t.Logf("%s: claims again after %v", c.what, time.Since(back).Round(time.Millisecond))
		if s := r.wait(r.enqueue("chaos.noop", `{}`)); s.State != stem.Succeeded || s.Attempt != 0 {
			t.Errorf("%s: %+v %+v", c.what, s, s.Error)
		}
	}
}

func TestADaemonThatStartsWithItsRedisWaitsUntilThatHasReadItsData(t *testing.T) {
	server := testserver.NewRedis(t, testserver.SlowToRead()...)
	r := newRigOn(t, server.URL())
	h := r.enqueue("chaos.noop", `{}`)
	if err := server.Burden(t.Context(), "burden:"); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Launch(); err != nil {
		t.Fatal(err)
	}
	r.until("the server reads its data", func() bool { return strings.HasPrefix(server.Answer(), "-LOADING") })
	d := r.run(chaos("  per_process = 4"))
	if s := r.wait(h); s.State != stem.Succeeded {
		t.Errorf("%+v %+v", s, s.Error)
	}
	if out := d.output(); !strings.Contains(out, "still reading its data") || strings.Contains(out, "on disk") {
		t.Errorf("the log says:\n%s", out)
	}
}

func TestWhatRunsWhileRedisIsAwayIsSettledOnceItIsBack(t *testing.T) {
	server := testserver.NewRedis(t, "appendfsync always")
	r := newRigOn(t, server.URL())
	r.run(chaos("  per_process = 4"))
	h := r.enqueue("chaos.sleep", `{"ms":1000}`)
	r.until("it runs", func() bool { return r.state(h) == stem.Running })
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := r.wait(h); s.State != stem.Succeeded || s.Attempt != 0 {
		t.Errorf("%+v %+v", s, s.Error)
	}
}

func TestTheDaemonsLogNamesAServerThatMayLoseTasks(t *testing.T) {
	server := testserver.NewRedis(t, "appendonly no")
	r := newRigOn(t, strings.Replace(server.URL(), "redis://", "redis://default:swordfish@", 1))
	d := r.run(chaos(""))
	d.says("set appendonly yes")
	if strings.Contains(d.output(), "swordfish") {
		t.Errorf("it shows the password: %s", d.output())
	}
}
