package host

import "time"

// Config is one pool: a set of identical processes of one plugin build. The zero value of a field means its default.
type Config struct {
	Name    string   // pool name; the plugin block's label, or plugin/pool
	Plugin  string   // plugin block's label
	Command []string // program and arguments; required
	SHA256  string   // hex; checked before every exec; empty: not pinned
	Env     []string // names inherited beside PATH, HOME, TMPDIR, TZ and LANG
	Dir     string   // base of private socket directories; "": the system's runtime or temporary directory

	Processes  Processes
	PerProcess int // tasks at once in a process; 1
	SendAhead  int // tasks waiting in a process beyond PerProcess; -1: none; 0: 16

	Grace   time.Duration // between the cancellation for shutdown and the kill; 5 s
	Start   time.Duration // longest wait for the handshake and manifest; 10 s
	Restart Restart

	Config    []byte // the plugin's own config block as JSON
	Worker    string // worker name told to the plugin
	MaxResult int    // bytes; stem.MaxResult
}

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
