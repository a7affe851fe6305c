// Package plugin is what the daemon knows of handlers: the Runner they are reached through, the attempt handed over, the
// outcome that comes back, and the handshake both sides of the process boundary agree on.
//
// Two types implement Runner: the host's pool of processes (plugin/host) and the SDK's in-process Mux, so everything above
// may be tested with or without the wire. It imports neither gRPC nor go-plugin.
package plugin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/stemd/stem"
)

// The handshake. ProtocolVersion is what this build speaks; a host also accepts the version before it, once there is one.
const (
	ProtocolVersion = 1
	CookieKey       = "STEM_PLUGIN"
	CookieValue     = "8f7f2c0e-stem-handler"
	// Name is the one plugin in go-plugin's set.
	Name = "stem"
)

// Features a plugin may announce in its manifest.
const (
	FeatureRegister = "register" // writes the register: send-ahead is possible
	FeatureRecall   = "recall"   // gives unstarted attempts back
	FeatureDump     = "dump"     // writes its stacks to stderr and dies on SIGQUIT, as Go programs do
)

// Attempt is one run of a task, as handed to a handler.
type Attempt struct {
	ID      string
	Name    string
	Epoch   stem.Epoch
	Attempt int // 0-based
	Queue   string
	Header  []byte // as published
	Body    []byte // opened
	// Limits count from the start of the handler; 0: none. Grace is how long the hard kill waits after the soft limit is
	// ignored only when Hard is 0.
	Soft time.Duration
	Hard time.Duration
	// Heartbeat is the longest silence, from the start or the last sign of life, before the process is killed; 0: any.
	Heartbeat time.Duration
}

// Outcome is how an attempt ended. Exactly one is reported for each attempt started.
type Outcome struct {
	Attempt Attempt
	Kind    OutcomeKind
	Result  []byte // of a success
	Encoder string
	Error   *stem.TaskError
	// Retry is set when the handler asked for another attempt.
	Retry *RetryRequest
	// Snooze > 0: run again after it, no attempt spent.
	Snooze   time.Duration
	Then     []NewTask // published with a success
	Started  time.Time // zero: it never started
	Finished time.Time
	Pid      int
	Evidence *Evidence // of an attempt that began and did not end well; nil: none is known
}

// OutcomeKind sorts outcomes for the decision table.
type OutcomeKind int

const (
	// Success: the handler returned nil.
	Success OutcomeKind = iota
	// Failure: Error says why, by class.
	Failure
	// NotRun: it did not start or must not count: recalled, collateral, drained, done but unreported. Error.Class says which.
	NotRun
)

// RetryRequest is a handler's request for another attempt.
type RetryRequest struct {
	After    *time.Duration // nil: by the policy
	Override *stem.Override
}

// NewTask is a task enqueued by a handler. Header.ID, Namespace and lineage are set by the daemon.
type NewTask struct {
	Header stem.Header
	Body   []byte
	Key    string // the id is derived from the parent's id and this
}

// Manifest is what a plugin says of itself.
type Manifest struct {
	Name         string
	Version      string
	Protocol     int
	SDK          string
	Features     []string
	Tasks        []stem.TaskSpec
	ConfigSchema json.RawMessage
}

// Runner runs attempts. Methods are safe for concurrent use and do not block on handlers.
type Runner interface {
	// Manifest is valid once Ready was signalled for the first time.
	Manifest() Manifest
	// Free is how many attempts Start takes now, send-ahead included.
	Free() int
	// Start hands attempts over; each ends in one Outcome at the Sink. Attempts beyond what is free come back at once as
	// NotRun with class collateral.
	Start(attempts []Attempt)
	// Cancel stops attempts: their context is cancelled with why as the cause; force kills the process at once. Unknown ids
	// are ignored.
	Cancel(id string, epoch stem.Epoch, why string, force bool)
	// Recall gives back, as NotRun with class drain, every attempt whose handler has not started.
	Recall()
	// Stats is a snapshot for people.
	Stats() stem.HeartbeatPool
}

// Sink is who a Runner reports to: the worker. Only Enqueue may block.
type Sink interface {
	// Done reports ends of attempts, in batches.
	Done(outcomes []Outcome)
	// Ready says that Free may have grown or that the manifest is known.
	Ready()
	// Progress reports a running attempt's progress; a zero Percent and no data is a heartbeat.
	Progress(a Attempt, p Progress)
	// SoftLimit says that a running attempt has passed its soft limit and is being told, once. It may end before it hears of it.
	SoftLimit(a Attempt)
	// Enqueue publishes children of a running attempt now and returns their ids. It refuses a closed epoch.
	Enqueue(ctx context.Context, a Attempt, tasks []NewTask) ([]string, error)
	// Log passes on what a handler logged; a is the zero Attempt for lines outside tasks.
	Log(a Attempt, r LogRecord)
}

// Progress of a running attempt.
type Progress struct {
	Percent     float64
	Data        json.RawMessage
	ExtendLease time.Duration
}

// LogRecord is one line logged by a handler or written to its stderr.
type LogRecord struct {
	Time    time.Time
	Level   int // slog level
	Message string
	Attrs   json.RawMessage
	Pid     int
}

// NoParent in a NewTask's Header.RootID says that the child is to carry no lineage.
const NoParent = "-"
