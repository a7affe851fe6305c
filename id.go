package stem

import (
	"crypto/sha256"

	"github.com/google/uuid"
)

// NewID returns a UUIDv7: unique, and ordered by time of making.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// ChildID derives the id of a task that a handler enqueues, so that a repeated attempt enqueues the same child and not a second
// one. key is the child's ordinal or the handler's own key. The id is a UUIDv8 (RFC 9562 §5.8) over SHA-256 of both parts.
func ChildID(parentID, key string) string {
	h := sha256.New()
	h.Write([]byte(parentID))
	h.Write([]byte{0})
	h.Write([]byte(key))
	var id uuid.UUID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
