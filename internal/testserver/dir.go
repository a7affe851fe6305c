package testserver

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const dirPrefix = "stem-testserver-"

// dir is a private directory that a later process removes when this one could not. Whoever uses it holds a lock on its file "lock",
// which ends with the process.
type dir struct {
	path string
	lock *os.File
}

func newDir() (*dir, error) {
	sweep()
	path, err := os.MkdirTemp("", dirPrefix)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return &dir{path: path, lock: lock}, nil
}

// sub makes a directory inside.
func (d *dir) sub(name string) (string, error) {
	path := filepath.Join(d.path, name)
	return path, os.Mkdir(path, 0o700)
}

func (d *dir) remove() error { return errors.Join(os.RemoveAll(d.path), d.lock.Close()) }

// sweep removes what processes left that were killed. A young directory may not have its lock yet.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, path := range left {
		lock, err := os.Open(filepath.Join(path, "lock"))
		if err != nil {
			continue
		}
		info, err := lock.Stat()
		if err == nil && time.Since(info.ModTime()) > time.Minute && syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(path)
		}
		_ = lock.Close()
	}
}
