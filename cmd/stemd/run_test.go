package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stemd/stem"
)

func rawJSON(s string) json.RawMessage { return json.RawMessage(s) }

func TestHowAnAttemptEndedIsKeptWithItsClass(t *testing.T) {
	r := newRig(t)
	d := r.run(chaos("  processes {\n    max = 2\n  }"))
	for _, c := range []struct {
		task, args string
		opts       []stem.Option
		class      stem.Class
		message    string
	}{
		{"chaos.fail", `{"message":"no luck"}`, nil, stem.ClassError, "no luck"},
		{"chaos.panic", `{"message":"kaboom"}`, nil, stem.ClassPanic, "kaboom"},
		{"chaos.exit", `{"code":3,"message":"leaving"}`, nil, stem.ClassExit, "leaving"},
		{"chaos.spin", `{}`, []stem.Option{stem.HardLimit(200 * time.Millisecond)}, stem.ClassTimeout, "hard limit 200ms exceeded; killed pid"},
		{"chaos.sleep", `{"ms":60000}`, []stem.Option{stem.SoftLimit(100 * time.Millisecond)}, stem.ClassError, "soft limit"},
		{"chaos.ignore", `{"ms":60000}`, []stem.Option{stem.SoftLimit(50 * time.Millisecond), stem.HardLimit(200 * time.Millisecond)}, stem.ClassTimeout, "hard limit"},
		{"chaos.big", `{"bytes":50000000}`, nil, stem.ClassError, "result of chaos.big is 50000002 bytes, the limit is 1048576"},
	} {
		h := r.enqueue(c.task, c.args, c.opts...)
		s := r.wait(h)
		if s.State != stem.Failed || s.Error == nil || s.Error.Class != c.class || !strings.Contains(s.Error.Message, c.message) {
			t.Errorf("%s: %s %+v", c.task, s.State, s.Error)
		}
		page, err := r.store.Broker.(stem.Inspector).DeadLetters(t.Context(), stem.DeadLetterQuery{IDs: []string{h.ID()}})
		if err != nil || len(page.Items) != 1 || page.Items[0].Error == nil {
			t.Errorf("%s: dead letters %+v, %v", c.task, page.Items, err)
		}
	}
	d.says("soft limit passed: the handler was told to stop")
	// After all that the plugin still works.
	if s := r.wait(r.enqueue("chaos.noop", `{}`)); s.State != stem.Succeeded {
		t.Errorf("after the failures: %+v", s)
	}
}

func TestAFailureIsRetriedByThePolicyOfTheMessageOrTheConfiguration(t *testing.T) {
	r := newRig(t)
	r.run(chaos("  retry {\n    max = 2\n    delay = \"10ms\"\n    backoff = false\n    on \"panic\" {\n      max = 0\n    }\n  }"))
	if s := r.wait(r.enqueue("chaos.fail", `{"times":2}`)); s.State != stem.Succeeded || s.Attempt != 2 {
		t.Errorf("two failures, two retries: %+v %+v", s, s.Error)
	}
	if s := r.wait(r.enqueue("chaos.fail", `{"times":2}`, stem.MaxRetries(1))); s.State != stem.Failed || s.Attempt != 1 {
		t.Errorf("the message allows one: %+v", s)
	}
	if s := r.wait(r.enqueue("chaos.panic", `{}`)); s.State != stem.Failed || s.Attempt != 0 {
		t.Errorf("a rule for panics allows none: %+v", s)
	}
}

func TestACancelledTaskStopsAsHardAsAskedFor(t *testing.T) {
	r := newRig(t)
	r.run(chaos("  processes {\n    max = 1\n  }"))
	running := r.enqueue("chaos.sleep", `{"ms":60000}`)
	waiting := r.enqueue("chaos.noop", `{}`)
	r.until("it runs", func() bool { return r.state(running) == stem.Running })
	for _, c := range []struct {
		h *stem.Handle
		o stem.CancelOptions
	}{{waiting, stem.CancelOptions{Reason: "not needed"}}, {running, stem.CancelOptions{Terminate: true}}} {
		if err := r.client.Cancel(t.Context(), c.h.ID(), c.o); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.wait(running); s.State != stem.Cancelled || s.Error.Class != stem.ClassCancelled {
		t.Errorf("running: %+v %+v", s, s.Error)
	}
	if s := r.wait(waiting); s.State != stem.Cancelled || !strings.Contains(s.Error.Message, "not needed") {
		t.Errorf("waiting: %+v %+v", s, s.Error)
	}
	deaf := r.enqueue("chaos.ignore", `{"ms":60000}`)
	r.until("it runs", func() bool { return r.state(deaf) == stem.Running })
	if err := r.client.Cancel(t.Context(), deaf.ID(), stem.CancelOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if s := r.wait(deaf); s.State != stem.Cancelled {
		t.Errorf("deaf: %+v %+v", s, s.Error)
	}
}

func TestPluginsThatDoNotStartSayWhyAndOthersGoOn(t *testing.T) {
	r := newRig(t)
	script := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(r.dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), mode); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%q", path)
	}
	d := r.start("-config", r.config(chaos("")+
		plugin("missing", `"/nonexistent/plugin"`, "  queues = { a = 1 }")+
		plugin("plain", script("plain", "", 0o600), "  queues = { b = 1 }")+
		plugin("quitter", script("quitter", "echo cannot open /etc/media.toml >&2; exit 3", 0o700), "  queues = { c = 1 }")+
		plugin("stranger", script("stranger", "echo '1|9|unix|/tmp/x|grpc|'; sleep 60", 0o700), "  queues = { d = 1 }")))
	for _, text := range []string{"/nonexistent/plugin", "permission denied", "cannot open /etc/media.toml", "exit", "speaks protocol 9"} {
		d.says(text)
	}
	if s := r.wait(r.enqueue("chaos.noop", `{}`, stem.Queue("chaos"))); s.State != stem.Succeeded {
		t.Errorf("the good plugin: %+v", s)
	}
}

func TestAPluginDeletedWhileItRunsGoesOn(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.dir, "copy")
	b, err := os.ReadFile(filepath.Join(bin, "chaos"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o700); err != nil {
		t.Fatal(err)
	}
	d := r.run(plugin("chaos", fmt.Sprintf("%q", path), "  processes {\n    max = 1\n  }"))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if s := r.wait(r.enqueue("chaos.noop", `{}`)); s.State != stem.Succeeded {
		t.Errorf("got %+v", s)
	}
	r.enqueue("chaos.exit", `{}`)
	d.says("no such file or directory") // the respawn says why it fails
}

func TestMisplacedTasksMoveHomeAndUnknownOnesWaitForTheirPlugin(t *testing.T) {
	r := newRig(t)
	archive := plugin("archive", fmt.Sprintf("%q", filepath.Join(bin, "archive")), "")
	d := r.run(chaos(""))
	stray := r.enqueue("archive.file", `{"path":"/nonexistent"}`, stem.Queue("chaos"))
	r.until("it is parked", func() bool {
		s, err := stray.Status(t.Context())
		return err == nil && s.Queue == stem.ParkedPrefix+"archive.file"
	})
	r.config(chaos("") + archive)
	d.signal(syscall.SIGHUP)
	d.says("reloaded")
	if s := r.wait(stray); s.State != stem.Failed || !strings.Contains(s.Error.Message, "there is no file") {
		t.Errorf("parked, then declared: %+v %+v", s, s.Error)
	}
	for _, queue := range []string{"default", "archive"} {
		if s := r.wait(r.enqueue("chaos.noop", `{}`, stem.Queue(queue))); s.State != stem.Succeeded || s.Queue != "chaos" {
			t.Errorf("from %s: %+v %+v", queue, s, s.Error)
		}
	}
}
