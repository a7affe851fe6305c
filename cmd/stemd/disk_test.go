package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
	"golang.org/x/sys/unix"
)

// inNamespace is set in the environment of a test that runs itself again where it may mount.
const inNamespace = "STEM_TEST_IN_NAMESPACE"

// mounter makes sure that the test may mount: who is not root runs it again as the root of a user namespace, and returns false.
func mounter(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() == 0 {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as root of a user namespace (run the tests as root where those are not allowed): %v\n%s", err, out)
	}
	return false
}

// smallDisk mounts a tmpfs of a few megabytes for the length of the test.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk takes every byte that is left and returns the file that has them.
func fillDisk(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnAFullDiskNothingAcceptedIsLostAndTheDaemonGoesOnByItselfWhenThereIsRoom(t *testing.T) {
	if !mounter(t) {
		return
	}
	disk := smallDisk(t, "6m")
	r := newRigIn(t, shortDir(t), disk)
	d := r.run(chaos("  processes {\n    max = 1\n  }"))
	r.wait(r.enqueue("chaos.noop", `{}`))
	running := r.enqueue("chaos.sleep", `{"ms":300}`)
	r.until("it runs", func() bool { return r.state(running) == stem.Running })
	filler := fillDisk(t, disk)

	accepted := []*stem.Handle{running}
	var err error
	for n := 0; err == nil && n < 10_000; n++ {
		var h *stem.Handle
		h, err = r.client.Enqueue(t.Context(), "chaos.noop", rawJSON(fmt.Sprintf(`{"pad":%q}`, strings.Repeat("x", 2000))))
		if err == nil {
			accepted = append(accepted, h)
		}
	}
	if !errors.Is(err, stem.ErrStoreFull) {
		t.Fatalf("after %d tasks: %v", len(accepted), err)
	}
	d.says("store is full")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for _, h := range accepted {
		if s := r.wait(h); s.State != stem.Succeeded {
			t.Errorf("task %s, accepted on the full disk: %s %+v", h.ID(), s.State, s.Error)
		}
	}
	if s := r.wait(r.enqueue("chaos.noop", `{}`)); s.State != stem.Succeeded {
		t.Errorf("enqueued when there was room again: %+v", s)
	}
	d.signal(syscall.SIGTERM)
	if code := d.exits(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestOnAReadOnlyDiskStemdDoesNotStartAndSaysWhy(t *testing.T) {
	if !mounter(t) {
		return
	}
	disk := smallDisk(t, "6m")
	r := newRigIn(t, t.TempDir(), disk)
	waiting := r.enqueue("chaos.noop", `{}`)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", disk, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	config := r.config(chaos(""))
	d := r.start("-config", config)
	if code := d.exits(); code == 0 {
		t.Errorf("exit %d", code)
	}
	d.says(filepath.Join(disk, "stem.db"))
	d.says("store is read-only: check the permissions")
	// What was accepted is there when the disk can be written again.
	remount(0)
	store, err := sqlite.Open(t.Context(), r.url)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r.start("-config", config)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if s, err := stem.NewClient(store).Handle(waiting.ID()).Wait(ctx); err != nil || s.State != stem.Succeeded {
		t.Errorf("%+v, %v", s, err)
	}
}
