package stem

import (
	"context"
	"time"
)

// Inspector is the optional capability of a Broker to be looked into. All methods are safe for concurrent use. With ErrUnreachable what
// Queues and DeadLetters return is that of the parts of the store that answer.
type Inspector interface {
	// Queues returns counts of every queue that holds something or has dead letters, by name. Parked lanes are listed under
	// their own names.
	Queues(ctx context.Context) ([]QueueCounts, error)
	// Browse lists live tasks in the order they would be claimed.
	Browse(ctx context.Context, q BrowseQuery) (BrowsePage, error)
	// DeadLetters lists dead letters, newest first.
	DeadLetters(ctx context.Context, q DeadLetterQuery) (DeadLetterPage, error)
	// Replay moves dead letters back to their queues: attempt and redeliveries 0, epoch up, expiry waived. Each move is
	// atomic.
	Replay(ctx context.Context, r Replay) ([]Replayed, error)
	// PurgeDeadLetters deletes the matching ones, all of them when Limit ≤ 0, and returns how many.
	PurgeDeadLetters(ctx context.Context, q DeadLetterQuery) (int, error)
	// Purge deletes the ready and delayed tasks of a queue and returns how many. Dead letters and running tasks stay; the
	// status of each deleted task becomes cancelled.
	Purge(ctx context.Context, queue string) (int, error)
}

// QueueCounts is one queue at a moment.
type QueueCounts struct {
	Queue   string        `json:"queue"`
	Ready   int           `json:"pending"`
	Delayed int           `json:"delayed"`
	Running int           `json:"inflight"`
	Dead    int           `json:"dead"`
	Oldest  time.Duration `json:"-"` // age of the oldest ready task that is first of its priority; 0: none
}

// BrowseQuery selects live tasks of a queue.
type BrowseQuery struct {
	Queue  string
	Limit  int // ≤ 0: 50; at most 1000
	Cursor string
}

// BrowsePage is one page of Browse.
type BrowsePage struct {
	Items []Status
	Next  string
}

// DeadLetterQuery selects dead letters. Zero fields do not filter.
type DeadLetterQuery struct {
	Queue  string
	IDs    []string
	Since  time.Time // dead at or after
	Limit  int       // ≤ 0: 50; at most 1000
	Offset int
}

// DeadLetterPage is one page of DeadLetters.
type DeadLetterPage struct {
	Items []DeadLetter
	More  bool
}

// DeadLetter is a task that will not run again by itself.
type DeadLetter struct {
	Message Message
	Reason  string
	Error   *TaskError // of the last attempt, if there was one
	DeadAt  time.Time
}

// Replay asks for dead letters to run again.
type Replay struct {
	DeadLetterQuery
	Delay  time.Duration // hidden this long
	DryRun bool          // change nothing, only return what would be replayed
}

// Replayed is one dead letter's replay; Err says why it stayed.
type Replayed struct {
	DeadLetter DeadLetter
	Err        error
}
