package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAFileOnANetworkFilesystemIsRefusedAndOneOnFUSEIsWarnedOf(t *testing.T) {
	for filesystem, name := range map[int64]string{unix.NFS_SUPER_MAGIC: "NFS", unix.CIFS_SUPER_MAGIC: "CIFS", unix.V9FS_MAGIC: "9p"} {
		_, err := judge("/mnt/stem.db", filesystem)
		if err == nil || !strings.Contains(err.Error(), "/mnt/stem.db is on "+name+": SQLite needs a local disk") {
			t.Errorf("%s: %v", name, err)
		}
	}
	warnings, err := judge("/mnt/stem.db", unix.FUSE_SUPER_MAGIC)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "/mnt/stem.db is on FUSE") {
		t.Errorf("FUSE: %q, %v", warnings, err)
	}
	for _, filesystem := range []int64{unix.EXT4_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC} {
		if warnings, err := judge("/var/stem.db", filesystem); err != nil || len(warnings) > 0 {
			t.Errorf("%x: %q, %v", filesystem, warnings, err)
		}
	}
}

func TestAFileWhoseDirectoriesAreNotThereYetIsJudgedByTheOneTheyWillBeIn(t *testing.T) {
	// proc is a filesystem of its own, and the nearest directory that is there.
	var asked unix.Statfs_t
	if err := unix.Statfs("/proc", &asked); err != nil {
		t.Fatal(err)
	}
	if got := filesystemOf("/proc/not/there/stem.db"); got != int64(asked.Type) {
		t.Errorf("got %x, want that of /proc, %x", got, asked.Type)
	}
	if warnings, err := checkPlace(filepath.Join(t.TempDir(), "a", "b", "stem.db")); err != nil || len(warnings) > 0 {
		t.Errorf("%q, %v", warnings, err)
	}
}
