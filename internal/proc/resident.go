package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

var page = int64(os.Getpagesize())

// Resident is how many bytes of a process are in memory, shared ones included.
func Resident(pid int) (int64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm of pid %d says %q", pid, b)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * page, err
}

// ResidentByGroup is the sum of Resident over the processes of each process group. It reads all of /proc, so it costs some ten
// microseconds for each process of the host.
func ResidentByGroup() map[int]int64 {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	names, _ := dir.Readdirnames(-1)
	_ = dir.Close()
	out := map[int]int64{}
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		b, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it is gone
		}
		// After the name in parentheses: state, parent, group; resident pages are 22nd.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 22 {
			continue
		}
		group, err := strconv.Atoi(fields[2])
		pages, err2 := strconv.ParseInt(fields[21], 10, 64)
		if err == nil && err2 == nil {
			out[group] += pages * page
		}
	}
	return out
}
