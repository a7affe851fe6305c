package adapters

import (
	"strings"
	"time"

	"github.com/stemd/stem"
)

// LiveStatus derives the status of a live task from its row in the queue: leased → running, else queued before the first
// attempt has ended and retried after it. Stores that hold queues and results in one place use it instead of writing queued
// and running.
//
// owner holds the lease, empty: nobody. updated is when the row last changed. saved is the status kept under the task's id, or
// nil: of the present life it contributes error, meta and start; a terminal one belongs to a past life and is ignored.
func LiveStatus(m stem.Message, owner string, updated time.Time, saved *stem.Status) stem.Status {
	s := stem.Status{
		ID: m.ID, Name: m.Name, Queue: m.Queue, Priority: m.Priority, Attempt: m.State.Attempt,
		EnqueuedAt: m.State.Created, StartedAt: m.State.FirstStarted, UpdatedAt: updated, Epoch: m.State.Epoch,
	}
	switch {
	case owner != "":
		s.State, s.Worker = stem.Running, node(owner)
	case m.State.Attempt > 0:
		s.State, s.DueAt = stem.Retried, m.State.NotBefore
	default:
		s.State, s.DueAt = stem.Queued, m.State.NotBefore
	}
	if h, err := stem.DecodeHeader(m.Envelope.Header); err == nil {
		s.ParentID, s.RootID, s.GroupID, s.Meta = h.ParentID, h.RootID, h.Canvas.GroupID, h.Meta
	}
	if saved == nil || saved.State.Terminal() {
		return s
	}
	if saved.Meta != nil {
		s.Meta = saved.Meta
	}
	if s.StartedAt.IsZero() {
		s.StartedAt = saved.StartedAt
	}
	if s.Attempt > 0 {
		s.Error = saved.Error
	}
	return s
}

// CancelledStatus is what becomes of a waiting task whose queue was purged.
func CancelledStatus(m stem.Message, epoch stem.Epoch, now time.Time, saved *stem.Status) stem.Status {
	s := LiveStatus(m, "", now, saved)
	s.State, s.FinishedAt, s.Epoch, s.DueAt = stem.Cancelled, now, epoch, time.Time{}
	s.Error = &stem.TaskError{Class: stem.ClassCancelled, Type: "Purged", Message: "queue " + m.Queue + " was purged", Permanent: true}
	return s
}

// KeepsStatus says whether what becomes of the tasks of a queue is kept: of a broadcast nothing is.
func KeepsStatus(queue string) bool { return !strings.HasPrefix(queue, stem.BroadcastPrefix) }

// Fresh says whether a status written at epoch is to replace the stored one: not when it is older, nor when it is of the same
// epoch and the stored one is terminal.
func Fresh(stored *stem.Status, epoch stem.Epoch) bool {
	return stored == nil || epoch > stored.Epoch || epoch == stored.Epoch && !stored.State.Terminal()
}

// node is the node name in an owner, which is node/boot.
func node(owner string) string {
	if i := strings.LastIndexByte(owner, '/'); i >= 0 {
		return owner[:i]
	}
	return owner
}
