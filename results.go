package stem

import (
	"context"
	"time"
)

// Results keeps what became of tasks. All methods are safe for concurrent use.
type Results interface {
	// Save writes statuses. A write whose epoch is older than the stored one, or equal to it when the stored one is
	// terminal, changes nothing and is not an error: it is late.
	Save(ctx context.Context, writes ...StatusWrite) error
	// Load returns one entry per id, nil where nothing is known. A store that holds the queues too derives queued, running
	// and retried from them.
	Load(ctx context.Context, ids ...string) ([]*Status, error)
	// Watch delivers the statuses of a task as they change, from any process, until it is terminal or ctx ends; then the
	// channel is closed. The present status, if any, comes first. Intermediate states may be skipped.
	Watch(ctx context.Context, id string) (<-chan Status, error)
	// List returns statuses that are kept or live, newest update first. With ErrUnreachable the page has those of the parts of the store
	// that answer.
	List(ctx context.Context, q StatusQuery) (StatusPage, error)
	// Expire lets what is kept under these ids, statuses and groups, live for ttl from now; ≤ 0 ends it. Unknown ids are not an
	// error, and live tasks stay known.
	Expire(ctx context.Context, ttl time.Duration, ids ...string) error
	Groups
}

// StatusWrite is a status to keep for TTL.
type StatusWrite struct {
	Status Status
	TTL    time.Duration // ≤ 0: DefaultResultTTL
}

// StatusQuery filters List. Zero fields do not filter.
type StatusQuery struct {
	State  TaskState
	Queue  string
	Name   string
	Limit  int    // ≤ 0: 50; at most 1000
	Cursor string // StatusPage.Next of the page before
}

// StatusPage is one page of List.
type StatusPage struct {
	Items []Status
	Next  string // empty: last page
}
