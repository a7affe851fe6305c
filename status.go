package stem

import (
	"encoding/json"
	"time"

	taskv1 "github.com/stemd/stem/plugin/proto/stem/task/v1"
	"google.golang.org/protobuf/proto"
)

// TaskState is where a task is in its life: queued → running → succeeded | failed | cancelled, with running → retried →
// running in between. A terminal state never regresses but by replay of its dead letter or a new publish of its id.
type TaskState string

// The states.
const (
	Queued    TaskState = "queued"
	Running   TaskState = "running"
	Retried   TaskState = "retried"
	Succeeded TaskState = "succeeded"
	Failed    TaskState = "failed"
	Cancelled TaskState = "cancelled"
)

// Terminal says whether the task will not run again by itself.
func (s TaskState) Terminal() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Class says how an attempt ended other than well.
type Class string

// The classes. A retry rule may name each.
const (
	ClassError      Class = "error"      // the handler returned an error
	ClassPanic      Class = "panic"      // the handler panicked
	ClassTimeout    Class = "timeout"    // killed at its hard limit
	ClassCrash      Class = "crash"      // the process died by a signal
	ClassExit       Class = "exit"       // the process exited by itself
	ClassOOM        Class = "oom"        // the process was killed for memory
	ClassLostLease  Class = "lost_lease" // another worker has it
	ClassCancelled  Class = "cancelled"  // a person or program cancelled it
	ClassCollateral Class = "collateral" // its process died of another task
	ClassDrain      Class = "drain"      // stopped for a shutdown
	ClassSwap       Class = "swap"       // stopped for a plugin swap
	ClassExpired    Class = "expired"    // delivered after its expiry
)

// TaskError says what went wrong in an attempt.
type TaskError struct {
	Class     Class  `json:"class"`
	Type      string `json:"type"` // error type name, what retry filters compare
	Message   string `json:"message"`
	Stack     string `json:"stack,omitempty"`
	Permanent bool   `json:"permanent,omitempty"` // another attempt is pointless
	ExitCode  *int   `json:"exitCode,omitempty"`  // of its process, when that exited by itself
	Signal    string `json:"signal,omitempty"`    // its process died of, "SIGSEGV"
}

func (e *TaskError) Error() string { return e.Message }

// Status is what is known of a task.
type Status struct {
	ID         string                     `json:"id"`
	Name       string                     `json:"task"`
	Queue      string                     `json:"queue"`
	State      TaskState                  `json:"state"`
	Attempt    int                        `json:"attempt"` // 0-based
	Priority   int                        `json:"priority"`
	Result     []byte                     `json:"-"` // encoded; of a success, unless ignored
	Encoder    string                     `json:"encoder,omitempty"`
	Error      *TaskError                 `json:"error,omitempty"`
	Meta       map[string]json.RawMessage `json:"meta,omitempty"`
	Worker     string                     `json:"worker,omitempty"`
	ParentID   string                     `json:"parentTaskId,omitempty"`
	RootID     string                     `json:"rootTaskId,omitempty"`
	GroupID    string                     `json:"groupId,omitempty"`
	EnqueuedAt time.Time                  `json:"enqueuedAt,omitzero"`
	StartedAt  time.Time                  `json:"startedAt,omitzero"`
	FinishedAt time.Time                  `json:"finishedAt,omitzero"`
	DueAt      time.Time                  `json:"dueAt,omitzero"`
	UpdatedAt  time.Time                  `json:"updatedAt,omitzero"` // set by the store
	Epoch      Epoch                      `json:"-"`                  // claim that wrote it
}

// EncodeStatus encodes a status for an adapter; Epoch and UpdatedAt are the adapter's own columns.
func EncodeStatus(s *Status) ([]byte, error) {
	meta, err := encodeMeta(s.Meta)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&taskv1.Status{
		Id: s.ID, Name: s.Name, Queue: s.Queue, State: string(s.State), Attempt: int32(s.Attempt), Priority: int32(s.Priority),
		Result: s.Result, Encoder: s.Encoder, Error: s.Error.Proto(), Meta: meta, Worker: s.Worker,
		ParentId: s.ParentID, RootId: s.RootID, GroupId: s.GroupID, EnqueuedAt: micros(s.EnqueuedAt), StartedAt: micros(s.StartedAt),
		FinishedAt: micros(s.FinishedAt), DueAt: micros(s.DueAt),
	})
}

// DecodeStatus reads what EncodeStatus wrote.
func DecodeStatus(b []byte) (*Status, error) {
	var m taskv1.Status
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	meta, err := decodeMeta(m.Meta)
	if err != nil {
		return nil, err
	}
	return &Status{
		ID: m.Id, Name: m.Name, Queue: m.Queue, State: TaskState(m.State), Attempt: int(m.Attempt), Priority: int(m.Priority),
		Result: m.Result, Encoder: m.Encoder, Error: TaskErrorFromProto(m.Error), Meta: meta, Worker: m.Worker,
		ParentID: m.ParentId, RootID: m.RootId, GroupID: m.GroupId, EnqueuedAt: fromMicros(m.EnqueuedAt), StartedAt: fromMicros(m.StartedAt),
		FinishedAt: fromMicros(m.FinishedAt), DueAt: fromMicros(m.DueAt),
	}, nil
}

// Proto converts to the wire form; nil stays nil.
func (e *TaskError) Proto() *taskv1.Error {
	if e == nil {
		return nil
	}
	return &taskv1.Error{
		Class: string(e.Class), Type: e.Type, Message: e.Message, Stack: e.Stack, Permanent: e.Permanent,
		ExitCode: int32p(e.ExitCode), Signal: e.Signal,
	}
}

// TaskErrorFromProto converts from the wire form; nil stays nil.
func TaskErrorFromProto(m *taskv1.Error) *TaskError {
	if m == nil {
		return nil
	}
	return &TaskError{
		Class: Class(m.Class), Type: m.Type, Message: m.Message, Stack: m.Stack, Permanent: m.Permanent,
		ExitCode: intp(m.ExitCode), Signal: m.Signal,
	}
}
