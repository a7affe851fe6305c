package stem

import (
	"context"
	"time"
)

// Records keeps small versioned documents: heartbeats, manifests, revocations, schedules, locks. All methods are safe for
// concurrent use.
type Records interface {
	// Load returns one entry per reference, nil where there is none or it has expired.
	Load(ctx context.Context, refs ...RecordRef) ([]*Record, error)
	// Save applies writes. Writes of one Kind and Part are atomic together; several parts are applied in order, and the
	// first ErrConflict stops. It returns the new versions in the order of the writes (0 for a delete).
	Save(ctx context.Context, writes ...RecordWrite) ([]int64, error)
	// List returns records by version, oldest first, or by due time when DueBefore is set.
	List(ctx context.Context, q RecordQuery) (RecordPage, error)
}

// RecordRef names a record within the namespace.
type RecordRef struct {
	Kind string // "heartbeat", "revocation"
	Part string // unit of atomicity; empty is a part like any other
	ID   string
}

// Record is a small document.
type Record struct {
	RecordRef
	Version int64 // rises over the life of the reference and is never reused, also after expiry or delete
	Due     time.Time
	Tags    []string // ≤ MaxTags
	Body    []byte   // ≤ MaxRecord
	Expires time.Time
	Updated time.Time // set by the store
}

// RecordOp says what a write demands of the present version.
type RecordOp int

const (
	// PutRecord writes whatever is there.
	PutRecord RecordOp = iota
	// CreateRecord conflicts when the record exists.
	CreateRecord
	// ReplaceRecord conflicts unless the version is IfVersion.
	ReplaceRecord
	// DeleteRecord deletes; with IfVersion ≠ 0 it conflicts unless the version is that. Deleting nothing is not an error.
	DeleteRecord
)

// RecordWrite is one write.
type RecordWrite struct {
	Record    Record
	Op        RecordOp
	IfVersion int64
	TTL       time.Duration // > 0: Record.Expires becomes the store's clock + TTL
}

// RecordQuery selects records of one kind. Zero fields do not filter.
type RecordQuery struct {
	Kind         string
	Part         *string // nil: all parts
	Tag          string
	DueBefore    time.Time // records with a due time ≤ this
	AfterVersion int64     // records with a higher version: what changed since
	Limit        int       // ≤ 0: 100; at most 1000
	Cursor       string
}

// RecordPage is one page of List.
type RecordPage struct {
	Items []Record
	Next  string // empty: last page
}

// Kinds of records the core uses. Bodies are JSON.
const (
	KindHeartbeat  = "heartbeat"  // id: node name; body: Heartbeat
	KindManifest   = "manifest"   // id: node/plugin; body: PluginManifest
	KindRevocation = "revocation" // id: task id; body: Revocation
	KindRelease    = "release"    // id: node/plugin, which is to leave its quarantine; no body
	KindLock       = "lock"       // id: the lock's key; body: its owner, not JSON
	KindSubscriber = "subscriber" // part: channel; id: subscriber; no body
)
