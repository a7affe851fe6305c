package host

import (
	"bytes"
	"os"
	"strconv"
)

// oomKills is how many processes the kernel has killed for memory since boot. A SIGKILL that is not ours, in a process's life in
// which the count rose, is called an OOM kill: evidence, not proof.
func oomKills() uint64 { return oomKillsIn("/proc/vmstat") }

func oomKillsIn(path string) uint64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(b, []byte("\noom_kill "))
	number, _, _ := bytes.Cut(after, []byte("\n"))
	n, _ := strconv.ParseUint(string(number), 10, 64)
	return n
}
