package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeTree is a directory that looks like a delegated cgroup. The kernel makes a group's files with it and removes them with it;
// here writing makes them, and groups are removed with what is in them.
func fakeTree(t *testing.T, controllers string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte(controllers+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

func content(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAProcessGetsACgroupWithItsLimits(t *testing.T) {
	root := fakeTree(t, "cpuset cpu io memory pids")
	all, err := openGroups(root, 4711)
	if err != nil {
		t.Fatal(err)
	}
	all.remove = os.RemoveAll
	if got := content(t, root, "stemd", "cgroup.procs"); got != "4711" {
		t.Errorf("the daemon must leave a group that hands controllers on, procs %q", got)
	}
	if got := content(t, root, "cgroup.subtree_control"); got != "+cpu +memory +pids" {
		t.Errorf("subtree_control %q", got)
	}
	g, err := all.open(Limits{Memory: 256 << 20, CPU: 1.5, Pids: 64})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"memory.max": "268435456", "memory.oom.group": "1", "cpu.max": "150000 100000", "pids.max": "64",
	} {
		if got := content(t, g.path, file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	other, err := all.open(Limits{Pids: 1})
	if err != nil || other.path == g.path {
		t.Fatalf("each process has a group of its own: %v, %v", other, err)
	}
	if _, err := os.Stat(filepath.Join(other.path, "memory.max")); err == nil {
		t.Error("a limit nobody asked for was set")
	}
	if g.ooms() != 0 {
		t.Error("nothing was killed yet")
	}
	if err := writeTo(g.path, "memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n"); err != nil {
		t.Fatal(err)
	}
	if n := g.ooms(); n != 3 {
		t.Errorf("%d kills, want 3", n)
	}
	if err := g.kill(); err != nil || content(t, g.path, "cgroup.kill") != "1" {
		t.Errorf("kill: %v", err)
	}
	if err := g.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.path); err == nil {
		t.Error("the group is still there")
	}
}

func TestWithoutADelegatedCgroupItSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		root string
		says string
	}{
		"version 1":     {t.TempDir(), "no cgroup v2"},
		"no controller": {fakeTree(t, "cpu pids"), "is not given the controller memory"},
	} {
		if _, err := openGroups(c.root, 1); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	for lines, want := range map[string]string{
		"0::/system.slice/stemd.service\n":                    "/system.slice/stemd.service",
		"12:memory:/x\n0::/system.slice/stemd.service\n1:n:/": "/system.slice/stemd.service",
	} {
		if got, err := ownGroup(lines); err != nil || got != want {
			t.Errorf("%q: %q, %v", lines, got, err)
		}
	}
	if _, err := ownGroup("12:memory:/x\n"); err == nil {
		t.Error("a process in version 1 alone was taken for one of version 2")
	}
}
