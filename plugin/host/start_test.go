package host_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

func TestAPluginThatDoesNotStartSaysWhyAndWhatComesNext(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(plain, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	self := os.Args[0]
	for _, c := range []struct {
		name    string
		command []string
		says    []string
		state   string
	}{
		{"missing", []string{"/nonexistent/media"}, []string{"/nonexistent/media can not be started", "no such file"}, "can not be started"},
		{"not executable", []string{plain}, []string{plain + " can not be started", "permission denied"}, "permission denied"},
		{"no program", []string{self + "-none"}, []string{"can not be started"}, "can not be started"},
		{"exits at once", []string{self, "exit"}, []string{self + " exits at start: exit status 3; last words: no licence found"}, "times): no licence found"},
		{"garbage", []string{self, "garbage"}, []string{`prints "hello, world" instead of a handshake`}, "hello, world"},
		{"no handshake", []string{self, "silent"}, []string{"gives no handshake within 1s", "last words: thinking"}, "thinking"},
		{"handshake, then silence", []string{self, "mute"}, []string{"after a good handshake"}, "after a good handshake"},
		{"another program", []string{"/bin/sh", "-c", "echo '1|1|tcp|127.0.0.1:1|grpc'; sleep 60"}, []string{"it listens on tcp 127.0.0.1:1, want a unix socket"}, "unix socket"},
		{"net/rpc", []string{"/bin/sh", "-c", "echo '1|1|unix|/x|netrpc'; sleep 60"}, []string{`speaks "netrpc", want grpc`}, "netrpc"},
		{"another protocol", []string{self, "protocol"}, []string{"plugin media: speaks protocol 9, this stemd speaks 1; rebuild it"}, "protocol 9"},
		{"another protocol in its manifest", []string{self, "manifest9"}, []string{"plugin media: speaks protocol 9"}, "protocol 9"},
		{"refuses its configuration", []string{self, "refuse"}, []string{"unknown key"}, "unknown key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, "", func(cfg *host.Config) {
				cfg.Command, cfg.Config, cfg.Start = c.command, []byte("sise"), 5*time.Second
				if c.name == "no handshake" || strings.HasPrefix(c.name, "handshake") {
					cfg.Start = time.Second
				}
			})
			r.until(t, "a quarantine that says "+c.state, func() bool {
				s := r.Stats()
				return strings.HasPrefix(s.State, "quarantined: ") && strings.Contains(s.State, c.state)
			})
			if s := r.Stats(); s.Up != 0 || r.Free() != 0 {
				t.Errorf("%d up, %d free", s.Up, r.Free())
			}
			wantNotRun(t, r.run("echo x"), stem.ClassCollateral)
			r.untilSaid(append(c.says, "plugin media: ", "retry in ")...)
		})
	}
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

func TestOnlyThePinnedBuildIsStarted(t *testing.T) {
	sum := sumOf(t, os.Args[0])
	r := up(t, "", func(c *host.Config) { c.SHA256 = strings.ToUpper(sum) })
	pid := r.Stats().Pids[0]
	r.give("exit")
	r.until(t, "a second start under the same pin", func() bool { return r.Stats().Up == 1 && r.Stats().Pids[0] != pid })

	wrong := strings.Repeat("0", 64)
	r = start(t, "", func(c *host.Config) { c.SHA256 = wrong })
	r.until(t, "the refusal", func() bool { return strings.HasPrefix(r.Stats().State, "quarantined") })
	r.untilSaid(sum, wrong, "is not the pinned build")
}

// copySelf is a copy of this binary, to be replaced or deleted.
func copySelf(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "media")
	in, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAProgramDeletedWhileItRunsServesOnUntilItDies(t *testing.T) {
	path := copySelf(t)
	r := up(t, "", func(c *host.Config) { c.Command = []string{path} })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if o := r.run("echo still here"); o.Kind != plugin.Success {
		t.Fatalf("got %+v", o)
	}
	r.run("exit")
	r.until(t, "the respawn to fail", func() bool { return strings.HasPrefix(r.Stats().State, "quarantined: can not be started") })
	r.untilSaid(path + " can not be started")
}

func TestAPluginThatStartsLaterIsTakenUp(t *testing.T) {
	path := copySelf(t)
	if err := os.Rename(path, path+".later"); err != nil {
		t.Fatal(err)
	}
	r := start(t, "", func(c *host.Config) { c.Command = []string{path} })
	r.until(t, "the pool to fail", func() bool { return strings.HasPrefix(r.Stats().State, "quarantined") })
	if err := os.Rename(path+".later", path); err != nil {
		t.Fatal(err)
	}
	r.untilUp()
	if o := r.run("echo x"); o.Kind != plugin.Success {
		t.Errorf("got %+v", o)
	}
}

func TestAConfigThatCanNotWorkIsRefused(t *testing.T) {
	for want, cfg := range map[string]host.Config{
		"no command":             {Name: "media"},
		"needs a name":           {Command: []string{"x"}},
		"hexadecimal":            {Name: "media", Command: []string{"x"}, SHA256: "beef"},
		"per_process is -1":      {Name: "media", Command: []string{"x"}, PerProcess: -1},
		"min 3 is more than max": {Name: "media", Command: []string{"x"}, Processes: host.Processes{Min: 3, Max: 2}},
		"choose a shorter one":   {Name: "media", Command: []string{"x"}, Dir: "/tmp/" + strings.Repeat("d", 60)},
	} {
		if _, err := host.New(cfg, newSink(), hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
