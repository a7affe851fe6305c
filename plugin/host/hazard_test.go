package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
	"golang.org/x/sys/unix"
)

// docs/hazards.md lists what a plugin may do to its host and names the test of each.

func goesOn(t *testing.T, r *rig) {
	t.Helper()
	r.untilUp()
	r.until(t, "room", func() bool { return r.Free() > 0 })
	if o := r.run("echo on"); o.Kind != plugin.Success {
		t.Errorf("the pool should go on: %+v", o)
	}
}

func TestADeathInMidFrameLosesNothing(t *testing.T) {
	r := up(t, "", func(c *host.Config) { c.Restart.Attempts = 100 })
	for i := range 12 {
		r.untilUp()
		wantFailure(t, r.run(fmt.Sprintf("midframe %dus", 200*i)), stem.ClassCrash, "signal: killed")
	}
	goesOn(t, r)
}

func TestProcessesThatDescribeThemselvesDifferentlyAreNoticed(t *testing.T) {
	version := filepath.Join(t.TempDir(), "version")
	write := func(v string) {
		if err := os.WriteFile(version, []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	r := up(t, "", func(c *host.Config) {
		c.Command = []string{"/bin/sh", "-c", `exec "$0" "version=$(cat "$1")"`, os.Args[0], version}
		c.Processes.Max = 2
	})
	if v := r.Manifest().Version; v != "1" {
		t.Fatalf("version %q", v)
	}
	write("2")
	_ = syscall.Kill(r.Stats().Pids[0], syscall.SIGKILL)
	r.until(t, "the new version to be known", func() bool { return r.Manifest().Version == "2" })
	r.untilSaid("describe themselves differently")
	goesOn(t, r)
}

func TestABinaryReplacedUnderARunningPoolIsStartedOnlyIfItIsThePinnedOne(t *testing.T) {
	path := copySelf(t)
	sum := sumOf(t, path)
	r := up(t, "", func(c *host.Config) { c.Command, c.SHA256 = []string{path}, sum })
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho owned\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if o := r.run("echo the old one serves on"); o.Kind != plugin.Success {
		t.Fatalf("got %+v", o)
	}
	r.run("exit")
	r.until(t, "the refusal", func() bool { return strings.Contains(r.Stats().State, "is not the pinned build") })
	if strings.Contains(r.log.String(), "owned") {
		t.Error("the replacement was run")
	}
	if err := os.Rename(path+".old", path); err != nil {
		t.Fatal(err)
	}
	goesOn(t, r)
}

func TestADeletedSocketHurtsNobody(t *testing.T) {
	dir := ""
	r := up(t, "", func(c *host.Config) { dir = c.Dir })
	removed := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type()&os.ModeSocket != 0 {
			removed++
			return os.Remove(path)
		}
		return err
	})
	if err != nil || removed == 0 {
		t.Fatalf("removed %d sockets: %v", removed, err)
	}
	goesOn(t, r)
	r.run("exit")
	goesOn(t, r)
}

func TestAFullDirectoryStopsStartsAndNotWhatRuns(t *testing.T) {
	dir := shortDir(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,nr_inodes=64"); err != nil {
		t.Fatalf("mount a tmpfs: %v (this test needs root or CAP_SYS_ADMIN)", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	r := up(t, "", func(c *host.Config) {
		c.Dir = dir
		c.Restart.Delay, c.Restart.MaxDelay = time.Hour, time.Hour // the next process is for a release to start
	})
	ballast := filepath.Join(dir, "ballast")
	fill := func() {
		for i := 0; ; i++ { // bytes and inodes
			path := fmt.Sprint(ballast, i)
			if _, err := os.Stat(path); err == nil {
				continue
			}
			if os.WriteFile(path, make([]byte, 4<<10), 0o600) != nil {
				return
			}
		}
	}
	fill()
	if o := r.run("echo what runs goes on"); o.Kind != plugin.Success {
		t.Fatalf("got %+v", o)
	}
	kill := func() { _ = syscall.Kill(r.Stats().Pids[0], syscall.SIGKILL) } // with nothing to do: of these deaths two are enough
	kill()
	r.until(t, "its successor", func() bool { s := r.Stats(); return s.State == "ok" && s.Restarts == 1 })
	kill()
	r.until(t, "the quarantine", func() bool { return r.Stats().Quarantined })
	fill() // also what the dead process left free: its directory goes before its death is judged
	r.Release()
	r.until(t, "the reason", func() bool { return strings.Contains(r.Stats().State, "no space left on device") })
	full, _ := filepath.Glob(ballast + "*")
	for _, path := range full {
		remove(t, path)
	}
	r.Release()
	goesOn(t, r)
}

func TestAHostOutOfFilesStopsStartsAndNotWhatRuns(t *testing.T) {
	r := up(t, "", nil)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
	defer restore()
	low := before
	low.Cur = 3 // what is open stays open; what a dead process leaves is no use to the next
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	if o := r.run("echo what runs goes on"); o.Kind != plugin.Success {
		t.Fatalf("got %+v", o)
	}
	r.run("exit")
	r.until(t, "the reason", func() bool { return strings.Contains(r.Stats().State, "too many open files") })
	restore()
	goesOn(t, r)
}

func TestAPluginOutOfFilesReportsAllTheSame(t *testing.T) {
	r := up(t, "", nil)
	wantFailure(t, r.run("fds"), stem.ClassError, "too many open files")
	goesOn(t, r)
}

func TestSignalsToAPluginDoNotStopTheHost(t *testing.T) {
	r := up(t, "", nil)
	for _, s := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGABRT, syscall.SIGKILL} {
		r.untilUp()
		pid := r.Stats().Pids[0]
		id := r.give("sleep 1h")
		r.until(t, "it to run", func() bool { return r.Stats().Inflight == 1 })
		_ = syscall.Kill(pid, s)
		o := r.outcome(t, id)
		if o.Error == nil || o.Error.Class != stem.ClassCrash && o.Error.Class != stem.ClassExit && o.Error.Class != stem.ClassCollateral {
			t.Errorf("%v: got %+v", s, o)
		}
		gone(t, pid)
	}
	goesOn(t, r)
}

func TestManyRestartsLeakNothingInTheHost(t *testing.T) {
	r := up(t, "", nil)
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	goesOn(t, r)
	r.run("exit")
	goesOn(t, r)
	before := count()
	for range 30 {
		goesOn(t, r)
		r.run("kill")
	}
	goesOn(t, r)
	r.until(t, "as many open files as before", func() bool { return count() <= before+2 })
}
