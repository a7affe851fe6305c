package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

func TestAHandlerOverItsMemoryLimitIsKilledInMidTask(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Limits.Memory = 200 << 20 })
	if o := r.run("hoard 8 0"); o.Kind != plugin.Success {
		t.Fatalf("8 MiB are allowed: %+v", o)
	}
	pid := r.Stats().Pids[0]
	o := r.run("hoard 300 3600000") // it would take an hour
	wantFailure(t, o, stem.ClassOOM, fmt.Sprintf("pid %d was killed: ", pid), "MiB resident, over its memory limit of 200 MiB")
	gone(t, pid)
	r.untilUp()
	if o := r.run("echo on"); o.Kind != plugin.Success {
		t.Errorf("the pool should go on: %+v", o)
	}
	if got := strings.Join(r.Stats().Limits, "; "); got != "memory 200 MiB: RSS watch every 100ms" {
		t.Errorf("limits %q", got)
	}
}

func TestMemoryOfChildProcessesCounts(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Limits.Memory = 200 << 20 })
	wantFailure(t, r.run("hoard-elsewhere 300"), stem.ClassOOM, "over its memory limit of 200 MiB")
}

func TestOfSeveralTasksOnlyTheOneThatNeedsTooMuchFails(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Limits.Memory, c.PerProcess = 200<<20, 4 })
	innocent := []string{r.give("sleep 600ms"), r.give("sleep 600ms")}
	guilty := r.give("hoard 300 3600000")
	wantFailure(t, r.outcome(t, guilty), stem.ClassOOM, "over its memory limit")
	for _, id := range innocent {
		if o := r.outcome(t, id); o.Kind == plugin.Failure {
			t.Errorf("an innocent lost its attempt: %v", o.Error)
		}
	}
}

func TestResourceLimitsHoldInTheProcess(t *testing.T) {
	mask := 0o027
	r := up(t, "", func(c *host.Config) {
		c.Limits = host.Limits{Files: 128, Nice: 3, Umask: &mask, CPU: 1, Pids: 100}
	})
	o := r.run("limits")
	// Files, niceness beyond this process's own, umask.
	if got, want := string(o.Result), fmt.Sprintf("128 128 %d 0027", min(niceness(t)+3, 19)); got != want {
		t.Errorf("files soft and hard, nice, umask: %s, want %s", got, want)
	}
	got := strings.Join(r.Stats().Limits, "; ")
	for _, want := range []string{"cpu 1: not enforced", "pids 100: not enforced", "files 128: RLIMIT_NOFILE", "nice +3", "umask 0027"} {
		if !strings.Contains(got, want) {
			t.Errorf("limits %q do not say %q", got, want)
		}
	}
}

func niceness(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	n := 0
	if _, err := fmt.Sscan(fields[16], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnotherUserIsRefusedOrServed(t *testing.T) {
	const nobody = "nobody"
	cfg := host.Config{Name: "media", Command: []string{os.Args[0]}, Limits: host.Limits{User: nobody}}
	if os.Geteuid() != 0 {
		if _, err := host.New(cfg, newSink(), hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "must run as root") {
			t.Errorf("got %v", err)
		}
		return
	}
	dir := shortDir(t)
	program := copySelf(t)
	for path := program; path != "/"; path = filepath.Dir(path) { // of this test
		if info, err := os.Stat(path); err != nil || info.Mode()&0o001 == 0 {
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := up(t, "", func(c *host.Config) {
		c.Command, c.Dir = []string{program}, filepath.Join(dir, "p")
		c.Limits = host.Limits{User: nobody, Pids: 500}
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	})
	o := r.run("whoami")
	if got := string(o.Result); got != "65534 65534 [65534] writable" && got != "65534 65534 [] writable" {
		t.Errorf("user, group, further groups, tmp: %s", got)
	}
	for range 12 {
		r.run("echo x")
	}
	if free := r.Free(); free < 2 {
		t.Errorf("%d free: the register can not be reached", free)
	}
	if got := strings.Join(r.Stats().Limits, "; "); !strings.Contains(got, "pids 500: ") || !strings.Contains(got, "user nobody") {
		t.Errorf("limits %q", got)
	}

	cfg.Dir = filepath.Join(shortDir(t), "p")
	pool, err := host.New(cfg, newSink(), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is closed to others") {
		t.Errorf("got %v", err)
	}
}

func TestLimitsThatCanNotWorkAreRefused(t *testing.T) {
	for want, l := range map[string]host.Limits{
		"there is no user": {User: "nobody-by-that-name"},
		"at least 64":      {Files: 3},
		"nice is 20":       {Nice: 20},
		"negative":         {Memory: -1},
	} {
		if _, err := host.New(host.Config{Name: "media", Command: []string{"x"}, Limits: l}, newSink(), hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
