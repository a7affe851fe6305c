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
	"github.com/stemd/stem/internal/scale"
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
	// SendAhead is how many fast tasks wait in a process beyond PerProcess; -1: none; 0: two for each of PerProcess, but at least
	// 32, and of brisk tasks 256.
	SendAhead int
	ahead     [paces]int // what SendAhead comes to

	Grace   time.Duration // between the cancellation for shutdown and the kill; 5 s
	Start   time.Duration // longest wait for the handshake and manifest; 10 s
	Restart Restart
	Limits  Limits
	Recycle Recycle
	Groups  *Groups // the program's; nil: limits are enforced without cgroups

	Config    []byte // the plugin's own config block as JSON
	Worker    string // worker name told to the plugin
	MaxResult int    // bytes; stem.MaxResult

	// Bare is for measurements: it leaves out what looks at tasks that succeed, that is the register, with which evidence begins, and
	// the capture of stderr. Who is to blame for a death, and when a handler started, is then a guess.
	Bare bool

	Reaper *Reaper // the program's; nil: processes that leave their group outlive their plugin until the next Sweep
}

// leastAhead hides the round trip to a process of one slot: of tasks that take fastEnough it is 160 ms of work. For a shared process
// two for each slot are 10 ms.
const leastAhead = 32

// briskAhead is as little work of tasks that take brief, and hides the round trip to a store as well.
const briskAhead = 256

// Processes bounds the size of a pool. It changes its size only if Min is set below Max.
type Processes struct {
	Min     int           // as many as Max; -1: none, the pool may be empty while there is nothing to do
	Max     int           // CPUs ÷ PerProcess, at least 1
	Spare   int           // ready beyond those, to take over at once when one dies; 0
	IdleTTL time.Duration // how long a pool has nothing to do before it shrinks; 30 s
	Scale   scale.Rules   // its pace; bounds and Idle come from the fields above
}

// Restart paces respawns after a process died or failed to start.
type Restart struct {
	Delay    time.Duration // first wait; 1 s. A process that had become ready is replaced at once the first time.
	MaxDelay time.Duration // 30 s
	// Attempts is how many failed starts, or deaths between which nothing was done, in a row until the pool is quarantined; 5. A task
	// that kills its process counts as a tenth of one, however often it does, and delays nothing.
	Attempts int
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
	case c.Processes.Min < -1 || c.Processes.Max < 0 || c.Processes.Spare < 0:
		return fail("processes: min %d, max %d and spare %d must not be negative", c.Processes.Min, c.Processes.Max, c.Processes.Spare)
	case c.Processes.Max > 0 && c.Processes.Min > c.Processes.Max:
		return fail("processes: min %d is more than max %d", c.Processes.Min, c.Processes.Max)
	}
	if err := c.Limits.check(); err != nil {
		return fail("%w", err)
	}
	if c.Recycle.Tasks < 0 || c.Recycle.Age < 0 || c.Recycle.Memory < 0 {
		return fail("recycle: tasks, age and memory must not be negative")
	}
	if l, r := c.Limits.Memory, c.Recycle.Memory; l > 0 && r >= l {
		return fail("recycle: memory %s is not below limits: memory %s: it would never come to that", bytesOf(r), bytesOf(l))
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
	c.Processes.Max = cmp.Or(c.Processes.Max, max(runtime.NumCPU()/c.PerProcess, c.Processes.Min, 1))
	c.Processes.Min = cmp.Or(c.Processes.Min, c.Processes.Max)
	if c.Processes.Spare > c.Processes.Max {
		return fail("processes: spare %d is more than max %d", c.Processes.Spare, c.Processes.Max)
	}
	c.Processes.Scale.Min, c.Processes.Scale.Max = max(c.Processes.Min, 0), c.Processes.Max
	c.Processes.Scale.PerProcess, c.Processes.Scale.Idle = c.PerProcess, c.Processes.IdleTTL
	switch each := max(c.SendAhead, 0); c.SendAhead {
	case 0:
		c.ahead = [paces]int{fast: max(leastAhead, 2*c.PerProcess), brisk: max(briskAhead, 2*c.PerProcess)}
	default:
		c.ahead = [paces]int{fast: each, brisk: each}
	}
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	c.Start = cmp.Or(c.Start, 10*time.Second)
	c.Restart.Delay = cmp.Or(c.Restart.Delay, time.Second)
	c.Restart.MaxDelay = max(cmp.Or(c.Restart.MaxDelay, 30*time.Second), c.Restart.Delay)
	c.Restart.Attempts = cmp.Or(c.Restart.Attempts, 5)
	c.MaxResult = cmp.Or(c.MaxResult, stem.MaxResult)
	return c, nil
}
