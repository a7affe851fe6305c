package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stemd/stem"
)

// pools is what live daemons say of their pools.
func (r *rig) pools() []stem.HeartbeatPool {
	r.Helper()
	beats, err := stem.Heartbeats(r.Context(), r.store)
	if err != nil {
		r.Fatal(err)
	}
	var out []stem.HeartbeatPool
	for _, hb := range beats {
		out = append(out, hb.Pools...)
	}
	return out
}

func TestATaskThatTakesTooMuchMemoryFailsAndNoOther(t *testing.T) {
	r := newRig(t)
	r.run(chaos("  processes {\n    max = 1\n  }\n  per_process = 4\n  limits {\n    memory = \"150MiB\"\n  }"))
	r.until("the mechanism is told", func() bool {
		pools := r.pools()
		return len(pools) == 1 && len(pools[0].Limits) == 1 && strings.HasPrefix(pools[0].Limits[0], "memory 150 MiB: ")
	})
	innocent := r.enqueue("chaos.sleep", `{"ms":3000}`, stem.MaxRetries(0))
	r.until("the innocent runs", func() bool { return r.state(innocent) == stem.Running })
	guilty := r.enqueue("chaos.leak", `{"bytes":314572800,"ms":3600000}`, stem.MaxRetries(0))
	if s := r.wait(guilty); s.State != stem.Failed || s.Error.Class != stem.ClassOOM || !strings.Contains(s.Error.Message, "over its memory limit of 150 MiB") {
		t.Errorf("%+v %+v", s, s.Error)
	}
	if s := r.wait(innocent); s.State != stem.Succeeded {
		t.Errorf("the innocent: %+v %+v", s, s.Error)
	}
}

func TestReplacingProcessesUnderLoadLosesNothing(t *testing.T) {
	r := newRig(t)
	r.run(chaos("  per_process = 4\n  processes {\n    max   = 2\n    spare = 1\n  }\n  recycle {\n    tasks = 50\n  }"))
	for _, h := range r.load(600) {
		if s := r.wait(h); s.State != stem.Succeeded || s.Attempt != 0 {
			t.Fatalf("%+v %+v", s, s.Error)
		}
	}
	r.until("nobody died", func() bool {
		pools := r.pools()
		return len(pools) == 1 && pools[0].Restarts == 0 && pools[0].State == "ok"
	})
}

func TestAPoolWithNothingToDoHasNoProcessAndATaskBringsOneBack(t *testing.T) {
	r := newRig(t)
	r.run(chaos("  processes {\n    min      = 0\n    max      = 2\n    idle_ttl = \"200ms\"\n  }"))
	for range 2 {
		r.until("no process", func() bool {
			pools := r.pools()
			return len(pools) == 1 && pools[0].Up == 0 && len(pools[0].Pids) == 0 && pools[0].State == stem.PoolIdle
		})
		if s := r.wait(r.enqueue("chaos.sleep", `{"ms":10}`)); s.State != stem.Succeeded || s.Attempt != 0 {
			t.Fatalf("%+v %+v", s, s.Error)
		}
	}
}

func TestAPluginThatDoesNotStartIsQuarantinedUntilItIsReleasedAndOthersGoOn(t *testing.T) {
	r := newRig(t)
	script, licence := filepath.Join(r.dir, "media"), filepath.Join(r.dir, "licence")
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\ntest -e %s || { echo no licence >&2; exit 1; }\nexec %s\n", licence, filepath.Join(bin, "archive")), 0o700); err != nil {
		t.Fatal(err)
	}
	r.start("-config", r.config(chaos("  queues = { chaos = 1 }")+plugin("media", fmt.Sprintf("%q", script),
		"  queues = { media = 1 }\n  restart {\n    delay     = \"10ms\"\n    max_delay = \"1h\"\n    attempts  = 2\n  }")))
	quarantined := func() bool {
		for _, p := range r.pools() {
			if p.Name == "media" {
				return p.Quarantined && strings.Contains(p.State, "no licence")
			}
		}
		return false
	}
	r.until("the quarantine is told", quarantined)
	if s := r.wait(r.enqueue("chaos.sleep", `{"ms":10}`, stem.Queue("chaos"))); s.State != stem.Succeeded {
		t.Errorf("the other plugin should go on: %+v", s)
	}
	if err := os.WriteFile(licence, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(bin, "stem"), "--broker", r.url, "plugin", "release", "media").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("Asked n to try plugin media now")) {
		t.Fatalf("%v: %s", err, out)
	}
	r.until("it is up", func() bool {
		for _, p := range r.pools() {
			if p.Name == "media" {
				return p.State == "ok" && p.Up > 0 && !p.Quarantined
			}
		}
		return false
	})
}
