package proc

import (
	"os"
	"strconv"
	"strings"
)

// Child is a process whose parent was asked about.
type Child struct {
	Pid    int
	Group  int // process group
	Zombie bool
}

// Children lists the processes whose parent is ppid, zombies included. It reads all of /proc, so it costs some ten microseconds
// for each process of the host.
func Children(ppid int) ([]Child, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close()
	if err != nil {
		return nil, err
	}
	var out []Child
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it is gone
		}
		// After the name in parentheses: state, parent, group.
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(fields) < 3 || fields[1] != strconv.Itoa(ppid) {
			continue
		}
		group, _ := strconv.Atoi(fields[2])
		out = append(out, Child{Pid: pid, Group: group, Zombie: fields[0] == "Z" || fields[0] == "X"})
	}
	return out, nil
}

// Environ says whether the environment a process was started with has an entry that begins with prefix, such as "TMPDIR=/run/".
// It is false for a process that is gone, that is a zombie, or that belongs to somebody else.
func Environ(pid int, prefix string) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	return err == nil && strings.Contains("\x00"+string(b), "\x00"+prefix)
}
