package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stemd/stem/internal/proc"
	"golang.org/x/sys/unix"
)

// Sweep kills the processes that dead daemons left behind and removes their directories. dir is the Config.Dir their pools had; a
// daemon calls it before it starts its own. Pools whose owner is alive are not touched, so daemons may share dir. A process is
// killed only if it is one the owner recorded (by pid and start time) or if its temporary directory lies in the dead pool's
// private one, which finds those that left their process group. A missing dir is an empty one.
func Sweep(dir string) (killed int, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return 0, fmt.Errorf("host: sweep: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "p*", stateFile))
	if err != nil {
		return 0, fmt.Errorf("host: sweep: %w", err)
	}
	var errs []error
	for _, file := range files {
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // swept by somebody else
		}
		var state poolState
		if err == nil {
			err = json.Unmarshal(b, &state)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("host: sweep: %s: %w", file, err))
			continue
		}
		if proc.Alive(state.Owner.Pid, state.Owner.Start) {
			continue
		}
		held, err := lock(filepath.Join(filepath.Dir(file), lockFile))
		if err != nil {
			continue // its owner lives where we do not see it, or somebody else is sweeping it
		}
		defer func() { _ = held.Close() }()
		killed += sweepPool(filepath.Dir(file), state)
		errs = append(errs, os.RemoveAll(filepath.Dir(file)))
	}
	return killed, errors.Join(errs...)
}

func sweepPool(dir string, state poolState) (killed int) {
	seen := map[int]bool{}
	for _, c := range state.Children {
		if !proc.Alive(c.Pid, c.Start) {
			continue
		}
		if group, err := unix.Getpgid(c.Pid); err == nil && group == c.Pid {
			_ = unix.Kill(-c.Pid, unix.SIGKILL)
		}
		seen[c.Pid] = unix.Kill(c.Pid, unix.SIGKILL) == nil
	}
	entries, _ := os.ReadDir("/proc")
	mark := []byte("\x00TMPDIR=" + dir + "/")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		environ, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err == nil && bytes.Contains(append([]byte{0}, environ...), mark) && !seen[pid] {
			seen[pid] = unix.Kill(pid, unix.SIGKILL) == nil
		}
	}
	for _, dead := range seen {
		if dead {
			killed++
		}
	}
	return killed
}
