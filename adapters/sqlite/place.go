package sqlite

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// networkFilesystems have no locks that SQLite can rely on (statfs(2), f_type).
var networkFilesystems = map[int64]string{
	unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.SMB2_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "CIFS",
	unix.V9FS_MAGIC: "9p", unix.CEPH_SUPER_MAGIC: "Ceph", unix.AFS_SUPER_MAGIC: "AFS",
}

// checkPlace refuses a file on a network filesystem and warns of one that may be.
func checkPlace(path string) (warnings []string, err error) { return judge(path, filesystemOf(path)) }

// filesystemOf is the type of the filesystem that a file is or will be on.
func filesystemOf(path string) int64 {
	var st unix.Statfs_t
	dir := filepath.Dir(path)
	for unix.Statfs(dir, &st) != nil && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir) // it will be made below this one
	}
	return int64(st.Type)
}

// judge refuses or warns of a file by the type of its filesystem.
func judge(path string, filesystem int64) (warnings []string, err error) {
	if name, ok := networkFilesystems[filesystem]; ok {
		return nil, fmt.Errorf("%s is on %s: SQLite needs a local disk, its locks do not hold over a network", path, name)
	}
	if filesystem == unix.FUSE_SUPER_MAGIC {
		warnings = append(warnings, path+" is on FUSE: make sure that it is a local disk")
	}
	return warnings, nil
}
