// Package proc names processes: a pid alone is reused, a pid with its start time is not.
package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// StartTime returns when a process started, in clock ticks since boot (proc(5), stat field 22).
func StartTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses and may hold anything, spaces and parentheses too.
	rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0, fmt.Errorf("proc: /proc/%d/stat: %d fields after the name, want 20", pid, len(fields))
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// Alive says whether the process that had this pid and start time still runs. A zombie counts as dead.
func Alive(pid int, start uint64) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	rest := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	return len(rest) >= 20 && rest[0] != "Z" && rest[0] != "X" && rest[19] == strconv.FormatUint(start, 10)
}
