package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// cli runs the real stem on this rig's store.
func (r *rig) cli(args ...string) string {
	r.Helper()
	cmd := exec.Command(filepath.Join(bin, "stem"), append([]string{"--broker", r.url}, args...)...)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.Errorf("stem %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestEveryClassOfFailureIsExplainedByTaskShow(t *testing.T) {
	r := newRig(t)
	t.Setenv("CHAOS_SECRET", "hunter2")
	r.run(chaos("  env = [\"CHAOS_SECRET\"]\n  processes {\n    max = 1\n  }"))
	var all string
	for _, c := range []struct {
		task, args string
		opts       []stem.Option
		says       []string
	}{
		{"chaos.fail", `{"message":"no luck"}`, nil, []string{"error   no luck", "(max-retries-exhausted)"}},
		{"chaos.panic", `{"message":"kaboom"}`, nil, []string{"panic   kaboom", "stack  goroutine", "chaos/main.go"}},
		{"chaos.exit", `{"code":3,"message":"leaving"}`, nil, []string{"exit status 3", "stderr leaving"}},
		{"chaos.crash", `{}`, nil, []string{"crash SIGKILL"}},
		{"chaos.spin", `{}`, []stem.Option{stem.HardLimit(300 * time.Millisecond)}, []string{"timeout   hard limit 300ms exceeded", "dead in", "stack  goroutine", "main.spin(…)"}},
		{"chaos.ignore", `{"ms":60000}`, []stem.Option{stem.HeartbeatTimeout(200 * time.Millisecond)}, []string{"timeout   heartbeat_timeout 200ms exceeded", "chaos/main.go"}},
	} {
		h := r.enqueue(c.task, c.args, c.opts...)
		r.wait(h)
		shown := r.cli("task", "show", h.ID())
		for _, want := range append(c.says, "attempt 1", "rss peak", "plugin chaos 1.0.0 sha256", "stem dlq replay --id "+h.ID()) {
			if !strings.Contains(shown, want) {
				t.Errorf("%s: want %q in\n%s", c.task, want, shown)
			}
		}
		t.Log(shown)
		all += shown
		all += r.cli("task", "show", h.ID(), "--json")
		path := filepath.Join(r.dir, h.ID()+".tar.gz")
		r.cli("task", "bundle", h.ID(), "-o", path)
		files := unpack(t, path)
		if files["attempts/01.json"] == "" || files["manifest.json"] == "" || files["dead-letter.json"] == "" {
			t.Errorf("%s: bundle has %d files", c.task, len(files))
		}
		for _, text := range files {
			all += text
		}
	}
	if strings.Contains(all, "hunter2") {
		t.Error("the environment of a plugin is in its evidence")
	}
}

func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}
