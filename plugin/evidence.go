package plugin

import "time"

// Evidence is what a runner knows of the process in which an attempt ended other than well. A field that is not known is zero.
// It holds no environment and no arguments.
type Evidence struct {
	Version string // of the plugin
	SHA256  string // of its program
	// ExitCode and Signal say how the process died by itself or by somebody else's hand; neither: it lives, or the runner killed it.
	ExitCode *int
	Signal   string
	OOM      bool      // it was killed for memory, by the kernel or the runner
	Killed   time.Time // when the runner sent the kill
	PeakRSS  int64     // bytes, of the process so far
	// CPU is what the process used during the attempt, when it ran nothing else.
	CPU    time.Duration
	Shared bool   // the process ran other attempts at the same time
	Stderr string // end of what the process wrote: since the attempt was handed over, or at all when it is shared
	Stack  string // stacks of the process before it was killed
	// Limits in force that a runner sets beside those of the Attempt, for people: "memory": "256 MiB (RSS watch)".
	Limits map[string]string
}
