package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/stemd/stem/internal/proc"
	"golang.org/x/sys/unix"
)

const (
	stateFile = "pool.json"
	// lockFile is locked as long as the owner lives. It tells the living from the dead also where the owner has another view of
	// pids: daemons in several containers may share a directory.
	lockFile = "owner.lock"
	// maxBase bounds a pool's private directory: below it lie "/123456", go-plugin's "/plugin-dir1234567890" and
	// "/plugin1234567890", and a unix socket's path has at most 107 bytes.
	maxBase = 60
)

// processID names a process for good.
type processID struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot
}

// poolState is the content of a pool's state file: who owns the directory and which processes it started, so that Sweep can tell
// a dead daemon's processes from strangers.
type poolState struct {
	Owner    processID   `json:"owner"`
	Pool     string      `json:"pool"`
	Children []processID `json:"children"`
}

// directory is the private directory of a running pool. Methods are safe for concurrent use.
type directory struct {
	path string
	base string // to be removed as well; "": not ours
	lock *os.File

	mu    sync.Mutex
	next  int
	state poolState
}

// newDirectory makes a private directory under base, or under a new one in the temporary directory when base is empty.
func newDirectory(base, pool string, user *identity) (d *directory, err error) {
	d = &directory{state: poolState{Owner: processID{Pid: os.Getpid()}, Pool: pool}}
	if base == "" {
		if d.base, err = os.MkdirTemp("", "stem"); err != nil {
			return nil, err
		}
		base = d.base
	}
	made := d // the results of a failure have none
	defer func() {
		if err != nil {
			err = errors.Join(err, made.remove())
		}
	}()
	if d.state.Owner.Start, err = proc.StartTime(os.Getpid()); err != nil {
		return nil, err
	}
	if base, err = filepath.Abs(base); err != nil {
		return nil, err
	}
	if err = os.MkdirAll(base, 0o700); err != nil {
		return nil, err
	}
	if d.path, err = os.MkdirTemp(base, "p"); err != nil {
		return nil, err
	}
	if err = checkBase(d.path); err != nil {
		return nil, err
	}
	if d.lock, err = lock(filepath.Join(d.path, lockFile)); err != nil {
		return nil, err
	}
	if err = d.admit(base, user); err != nil {
		return nil, err
	}
	return d, d.save()
}

// lock opens a file, making it if need be, and locks it until it is closed. It does not wait: a file that somebody else has
// locked is an error.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// admit lets another user pass through the directory to those of its processes; it can not list it.
func (d *directory) admit(base string, user *identity) error {
	if user == nil {
		return nil
	}
	for _, path := range []string{base, d.path} {
		if err := os.Chmod(path, 0o711); err != nil {
			return err
		}
	}
	for path := filepath.Dir(base); ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("user %s can not reach the directory for sockets, %s: %s is closed to others; open it to them (chmod o+x) or choose "+
				"another XDG_RUNTIME_DIR", user.name, d.path, path)
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

func checkBase(path string) error {
	if len(path) > maxBase {
		return fmt.Errorf("the directory for sockets, %s, has %d bytes, at most %d fit a socket's path: choose a shorter one", path, len(path), maxBase)
	}
	return nil
}

// child makes the private directory of the next process.
func (d *directory) child() (string, error) {
	d.mu.Lock()
	d.next++
	path := filepath.Join(d.path, fmt.Sprint(d.next))
	d.mu.Unlock()
	return path, os.Mkdir(path, 0o700)
}

// record notes that a process was started, forget that it is gone.
func (d *directory) record(id processID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.Children = append(d.state.Children, id)
	return d.save()
}

func (d *directory) forget(id processID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := d.state.Children[:0]
	for _, c := range d.state.Children {
		if c != id {
			kept = append(kept, c)
		}
	}
	d.state.Children = kept
	return d.save()
}

// save replaces the state file in one step; the caller holds the lock.
func (d *directory) save() error {
	b, err := json.Marshal(d.state)
	if err != nil {
		return err
	}
	file := filepath.Join(d.path, stateFile)
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// remove deletes the directory and all that processes left in it.
func (d *directory) remove() error {
	var errs []error
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	for _, path := range []string{d.path, d.base} {
		if path != "" {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}
