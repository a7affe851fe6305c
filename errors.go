package stem

import (
	"errors"
	"fmt"
)

// Sentinels a caller can decide on. Everything else is wrapped with what was being done.
var (
	// ErrNotFound: no task, status, record or dead letter of that id.
	ErrNotFound = errors.New("not found")
	// ErrLeaseLost: the receipt is not the current claim of the task; nothing of the settlement was written.
	ErrLeaseLost = errors.New("lease lost: the task was claimed again or is already settled")
	// ErrConflict: a record's version is not the expected one; nothing of the write was applied.
	ErrConflict = errors.New("conflict: the record changed since it was read")
	// ErrUnsupported: the store lacks this capability.
	ErrUnsupported = errors.New("not supported by this store")
	// ErrStoreFull: the store has no room; what was accepted before is kept.
	ErrStoreFull = errors.New("store is full")
	// ErrReadOnly: the store can not be written.
	ErrReadOnly = errors.New("store is read-only")
	// ErrCorrupt: the store's data is damaged.
	ErrCorrupt = errors.New("store is corrupt")
	// ErrUnreachable: a part of the store that this needs does not answer, or refuses. Some of it may be done: repeat the same.
	ErrUnreachable = errors.New("a part of the store can not be reached")
	// ErrStarting: the store's server is up and still reads its data; it will answer without anybody's doing.
	ErrStarting = errors.New("store is starting")
	// ErrUnreplicated: it is done and durable where it was done, but fewer replicas than asked for have it yet. Repeating it with the
	// same id does nothing twice while the task waits or runs.
	ErrUnreplicated = errors.New("not replicated yet")
	// ErrClosed: the store or client was closed.
	ErrClosed = errors.New("closed")
)

// OptionError says that an option's value can not be used. Nothing was published.
type OptionError struct {
	Option string // as written in the API and the CLI, "priority"
	Reason string
}

func (e *OptionError) Error() string { return fmt.Sprintf("option %s: %s", e.Option, e.Reason) }

// UnconfirmedError says that it is not known whether a task was published: the store did not answer, or not to the end. Enqueue it again with
// TaskID(ID): while that task waits or runs, or for as long as its id is remembered if it was a chosen one, nothing is done twice.
type UnconfirmedError struct {
	ID  string
	Err error
}

func (e *UnconfirmedError) Error() string {
	return fmt.Sprintf("whether task %s was enqueued is not known: %v", e.ID, e.Err)
}

// Unwrap gives why it is not known.
func (e *UnconfirmedError) Unwrap() error { return e.Err }

// SizeError says that something is larger than its limit. Nothing was written.
type SizeError struct {
	What  string // "message of media.resize"
	Size  int
	Limit int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%s is %d bytes, the limit is %d: store the data elsewhere and pass a reference", e.What, e.Size, e.Limit)
}
