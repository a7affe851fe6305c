package host

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/stemd/stem"
)

// Config is one pool: a set of identical processes of one plugin build. The zero value of a field means its default.
type Config struct {
	Name    string   // pool name; the plugin block's label, or plugin/pool
	Plugin  string   // plugin block's label
	Command []string // program and arguments; required
	SHA256  string   // hex; checked before every exec; empty: not pinned
	Env     []string // names inherited beside PATH, HOME, TMPDIR, TZ and LANG
	Dir     string   // base of private socket directories, at most 48 bytes, the one to Sweep; "": a new one in the temporary directory

	Processes  Processes
	PerProcess int // tasks at once in a process; 1
	SendAhead  int // fast tasks waiting in a process beyond PerProcess; -1: none; 0: 32, or two for each of PerProcess

	Grace   time.Duration // between the cancellation for shutdown and the kill; 5 s
	Start   time.Duration // longest wait for the handshake and manifest; 10 s
	Restart Restart

	Config    []byte // the plugin's own config block as JSON
	Worker    string // worker name told to the plugin
	MaxResult int    // bytes; stem.MaxResult

	Reaper *Reaper // the program's; nil: processes that leave their group outlive their plugin until the next Sweep
}

// leastAhead hides the round trip to a process of one slot: of tasks that take fastEnough it is 160 ms of work. For a shared process
// two for each slot are 10 ms.
const leastAhead = 32

// Processes bounds the size of a pool.
type Processes struct {
	Min int // 1
	Max int // CPUs ÷ PerProcess, at least 1
}

// Restart paces respawns after a process died or failed to start.
type Restart struct {
	Delay    time.Duration // first wait; 1 s. A process that had become ready is replaced at once the first time.
	MaxDelay time.Duration // 30 s
	Attempts int           // failed starts in a row until the pool is called failing; 5. It goes on trying at MaxDelay.
}

// withDefaults fills in what was left zero and checks the rest, without looking at the system.
func (c Config) withDefaults() (Config, error) {
	if c.Plugin == "" {
		c.Plugin = c.Name
	}
	if c.Name == "" {
		c.Name = c.Plugin
	}
	fail := func(format string, args ...any) (Config, error) {
		return c, fmt.Errorf("plugin %s: %w", c.Name, fmt.Errorf(format, args...))
	}
	switch {
	case c.Name == "":
		return fail("a pool needs a name")
	case len(c.Command) == 0 || c.Command[0] == "":
		return fail("no command: set the program to run")
	case c.PerProcess < 0:
		return fail("per_process is %d, want at least 1", c.PerProcess)
	case c.Processes.Min < 0 || c.Processes.Max < 0:
		return fail("processes: min %d and max %d must not be negative", c.Processes.Min, c.Processes.Max)
	case c.Processes.Max > 0 && c.Processes.Min > c.Processes.Max:
		return fail("processes: min %d is more than max %d", c.Processes.Min, c.Processes.Max)
	}
	if c.SHA256 != "" {
		if b, err := hex.DecodeString(c.SHA256); err != nil || len(b) != sha256.Size {
			return fail("sha256 %q is not %d hexadecimal digits", c.SHA256, 2*sha256.Size)
		}
		c.SHA256 = strings.ToLower(c.SHA256)
	}
	if c.Dir != "" {
		abs, err := filepath.Abs(c.Dir)
		if err == nil {
			err = checkBase(filepath.Join(abs, "p4294967295"))
		}
		if err != nil {
			return fail("%w", err)
		}
		c.Dir = abs
	}
	c.PerProcess = cmp.Or(c.PerProcess, 1)
	c.Processes.Min = cmp.Or(c.Processes.Min, 1)
	c.Processes.Max = cmp.Or(c.Processes.Max, max(runtime.NumCPU()/c.PerProcess, c.Processes.Min))
	c.SendAhead = max(cmp.Or(c.SendAhead, max(leastAhead, 2*c.PerProcess)), 0)
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	c.Start = cmp.Or(c.Start, 10*time.Second)
	c.Restart.Delay = cmp.Or(c.Restart.Delay, time.Second)
	c.Restart.MaxDelay = max(cmp.Or(c.Restart.MaxDelay, 30*time.Second), c.Restart.Delay)
	c.Restart.Attempts = cmp.Or(c.Restart.Attempts, 5)
	c.MaxResult = cmp.Or(c.MaxResult, stem.MaxResult)
	return c, nil
}
