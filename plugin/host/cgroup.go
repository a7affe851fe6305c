package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Groups is a delegated part of the cgroup v2 tree in which each plugin process gets a group of its own. A program makes one for
// all its pools. Safe for concurrent use.
type Groups struct {
	root   string
	next   atomic.Uint64
	remove func(string) error // of an empty group
}

// wanted are the controllers that limits need.
var wanted = []string{"cpu", "memory", "pids"}

// cpuPeriod is the period of cpu.max in microseconds: the kernel's default.
const cpuPeriod = 100_000

// OpenGroups makes the process's own cgroup ready for groups of plugins: the process moves into a leaf of its own, since a group
// with processes can not hand controllers on. Its error says why limits must be enforced by other means.
func OpenGroups() (*Groups, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	path, err := ownGroup(string(b))
	if err != nil {
		return nil, err
	}
	return openGroups(filepath.Join("/sys/fs/cgroup", path), os.Getpid())
}

// ownGroup is the path in /proc/self/cgroup's one line of version 2.
func ownGroup(lines string) (string, error) {
	for line := range strings.Lines(lines) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok && path != "" {
			return path, nil
		}
	}
	return "", errors.New("this process is in no cgroup of version 2")
}

func openGroups(root string, pid int) (*Groups, error) {
	b, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("no cgroup v2: %w", err)
	}
	for _, name := range wanted {
		if !slices.Contains(strings.Fields(string(b)), name) {
			return nil, fmt.Errorf("cgroup %s is not given the controller %s: delegate cpu, memory and pids to this service", root, name)
		}
	}
	own := filepath.Join(root, "stemd")
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("cgroup %s is not delegated: %w", root, err)
	}
	if err := writeTo(own, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return nil, fmt.Errorf("cgroup %s is not delegated: %w", root, err)
	}
	if err := writeTo(root, "cgroup.subtree_control", "+"+strings.Join(wanted, " +")); err != nil {
		return nil, fmt.Errorf("cgroup %s does not hand its controllers on: are there other processes in it? %w", root, err)
	}
	return &Groups{root: root, remove: os.Remove}, nil
}

func writeTo(group, file, text string) error {
	return os.WriteFile(filepath.Join(group, file), []byte(text), 0o644)
}

// group is the cgroup of one process.
type group struct {
	path string
	dir  *os.File
	all  *Groups
}

// open makes a group with the limits that groups enforce.
func (g *Groups) open(l Limits) (_ *group, err error) {
	path := filepath.Join(g.root, fmt.Sprintf("plugin-%d", g.next.Add(1)))
	for errors.Is(os.Mkdir(path, 0o755), os.ErrExist) { // of a predecessor, and not empty yet
		path = filepath.Join(g.root, fmt.Sprintf("plugin-%d", g.next.Add(1)))
	}
	out := &group{path: path, all: g}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cgroup %s: %w", path, err), out.close())
		}
	}()
	if l.Memory > 0 {
		// All of it goes at once, or a killed child process of the handler would leave a handler that waits for it.
		if err := errors.Join(writeTo(path, "memory.max", strconv.FormatInt(l.Memory, 10)), writeTo(path, "memory.oom.group", "1")); err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(path, "memory.swap.max")); err == nil {
			if err := writeTo(path, "memory.swap.max", "0"); err != nil {
				return nil, err
			}
		}
	}
	if l.CPU > 0 {
		if err := writeTo(path, "cpu.max", fmt.Sprintf("%d %d", max(int(l.CPU*cpuPeriod), 1000), cpuPeriod)); err != nil {
			return nil, err
		}
	}
	if l.Pids > 0 {
		if err := writeTo(path, "pids.max", strconv.Itoa(l.Pids)); err != nil {
			return nil, err
		}
	}
	out.dir, err = os.Open(path)
	return out, err
}

// kill ends everything in the group, whatever process group it has moved to.
func (g *group) kill() error { return writeTo(g.path, "cgroup.kill", "1") }

// ooms is how many processes of the group the kernel has killed for memory.
func (g *group) ooms() int {
	b, err := os.ReadFile(filepath.Join(g.path, "memory.events"))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if text, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			n, _ := strconv.Atoi(string(bytes.TrimSpace(text)))
			return n
		}
	}
	return 0
}

// close removes the group; it must be empty.
func (g *group) close() error {
	var errs []error
	if g.dir != nil {
		errs = append(errs, g.dir.Close())
	}
	return errors.Join(append(errs, g.all.remove(g.path))...)
}
