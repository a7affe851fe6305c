package workflow

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// ErrEnded: the run is completed, failed or cancelled, and nothing about it changes any more.
var ErrEnded = errors.New("the workflow run has ended")

// Status is where a run is in its life: running ⇄ suspended → completed | failed | cancelled.
type Status string

// The statuses.
const (
	Running   Status = "running"
	Suspended Status = "suspended"
	Completed Status = "completed"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Terminal says whether the run has ended.
func (s Status) Terminal() bool { return s == Completed || s == Failed || s == Cancelled }

// Run is one execution of a workflow. Times are those of the Store's clock, but LeasedUntil, which is the records' own.
type Run struct {
	ID       string `json:"id"`
	Workflow string `json:"workflow"`
	ParentID string `json:"parentRunId,omitempty"`
	Status   Status `json:"status"`
	// Cursor is the number of different steps that are completed: iterations of one step count once.
	Cursor int `json:"cursor"`
	// Params and Result are encoded by whoever starts and ends the run. Lists leave both out.
	Params      []byte            `json:"-"`
	Result      []byte            `json:"-"`
	Runtime     map[string]string `json:"runtime,omitempty"` // of the engine: its queues and formats; never shown as params
	Policy      Policy            `json:"cancellationPolicy,omitzero"`
	TTL         time.Duration     `json:"ttl,omitempty"` // how long the run is kept after its end; 0: for ever
	Suspension  *Suspension       `json:"suspensionData,omitempty"`
	LastError   *Failure          `json:"lastError,omitempty"`
	Cancelled   *Cancellation     `json:"cancellationData,omitempty"`
	Owner       string            `json:"ownerId,omitempty"` // of the last claim that was not given up
	LeasedUntil time.Time         `json:"leaseExpiresAt,omitzero"`
	CreatedAt   time.Time         `json:"createdAt"`
	UpdatedAt   time.Time         `json:"updatedAt"`
}

// Policy bounds a run. The engine cancels what is over it; zero: no bound.
type Policy struct {
	MaxRun     time.Duration `json:"maxRunDuration,omitempty"`
	MaxSuspend time.Duration `json:"maxSuspendDuration,omitempty"`
}

// Suspension is why a run waits or, once it runs again, what it had waited for.
type Suspension struct {
	Step        string          `json:"step"`
	Iteration   int             `json:"iteration"`
	Checkpoint  string          `json:"iterationStep"`     // name under which the step's next checkpoint is saved
	Topic       string          `json:"topic,omitempty"`   // waits for an event of this topic
	ResumeAt    time.Time       `json:"resumeAt,omitzero"` // a sleep's end or an event's deadline; zero: none
	Data        json.RawMessage `json:"data,omitempty"`    // of the user, kept
	Payload     []byte          `json:"payload,omitempty"` // of the event, or what the run was resumed with
	DeliveredAt time.Time       `json:"deliveredAt,omitzero"`
	SuspendedAt time.Time       `json:"suspendedAt"`
}

// Failure is an error of a run.
type Failure struct {
	Error string `json:"error"`
	Stack string `json:"stack,omitempty"`
}

// Cancellation says why and when a run was cancelled.
type Cancellation struct {
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"cancelledAt"`
}

// Step is one checkpoint: the value of a step, or of one iteration of it, that is not run again.
type Step struct {
	Name        string    `json:"name"`
	Position    int       `json:"position"` // in the order of execution; rising, not always without gaps
	CompletedAt time.Time `json:"completedAt"`
	Value       []byte    `json:"-"`
}

// BaseName is the name of a step without its iteration: "charge" of "charge#2".
func BaseName(checkpoint string) string {
	base, iteration, found := strings.Cut(checkpoint, "#")
	if !found || iteration == "" || strings.Trim(iteration, "0123456789") != "" {
		return checkpoint
	}
	return base
}
