package stem

import (
	"context"
	"time"
)

// Broker moves messages. Every method takes a batch and costs one round trip; all are safe for concurrent use. Delivery is at
// least once. All times are the store's clock.
//
// A method's error means that the batch as a whole was not done (unreachable, full, closed); what became of one member is in
// the slice, in the order of the arguments.
type Broker interface {
	// Publish makes messages durable. A batch is not atomic over its members, each is. A store in parts may answer Unconfirmed for some:
	// these are to be published again, and the others are what their answers say.
	Publish(ctx context.Context, msgs ...Message) ([]Published, error)
	// Claim leases up to c.Max tasks: queues in the order given, within a queue by priority (9 first), within a priority by
	// arrival. It waits up to c.Wait for a first one and returns none, without error, when there was none. A store in parts has waited
	// all the same when its error is ErrUnreachable: the parts that answer have nothing. If none answers it has not. When ctx ends it
	// returns as soon as the store answers, or has not for as long as any call may take.
	Claim(ctx context.Context, c Claim) ([]Delivery, error)
	// Extend renews leases to now + For, also expired ones that nobody took. It returns the receipts that are no longer held. With
	// ErrUnreachable some of the others are renewed.
	Extend(ctx context.Context, leases ...Lease) (lost []Receipt, err error)
	// Settle ends claims. Each settlement is all or nothing: nil, ErrLeaseLost (stale receipt: nothing was written) or
	// ErrConflict (a Save met another version: nothing was written). A store in parts may answer ErrUnreachable for some: these are to
	// be given again, and the others are done.
	Settle(ctx context.Context, s ...Settlement) ([]error, error)
}

// Message is one task on its way into a broker. ID, Name, Queue, Priority, Lease and State.NotBefore repeat what the
// envelope's header says so that stores need not read it; the queue may differ, since routing and moves change it and not the envelope.
type Message struct {
	ID       string
	Name     string
	Queue    string
	Priority int
	Envelope Envelope
	State    State
	// Lease is how long a claim of this message lasts (visibilityTimeout); 0: as long as the claimer asks for.
	Lease time.Duration
	// GeneratedID: the id was made at random by the client, so it is deduplicated only while the task is live. A chosen or
	// derived id is remembered for DefaultDedupe after its end. While State.Epoch is 0 it says that nobody has published the id before, which
	// a store may take at its word; who repeats a call that may have been carried out sets 1.
	GeneratedID bool
	// Unique reserves a key for the task; the zero value reserves none.
	Unique Reservation
}

// Reservation lets one live task hold a key. The key is reserved in Publish and given up when the task ends: Done, Dead and Purge. While
// the task waits, runs or retries it stays reserved For longer than the task is due or leased, so that a key can not be held for
// ever by a task that nobody will run. A task that finds its key taken when it is claimed runs all the same.
type Reservation struct {
	Key string        // at most MaxName bytes; empty: none
	For time.Duration // ≤ 0: DefaultUnique
}

// PublishState says what Publish did with a message.
type PublishState int

const (
	// Accepted: durable in the store.
	Accepted PublishState = iota
	// Duplicate: a task of that id is live or remembered, or a task holds its unique key; Published.ID is the id of that task.
	// Nothing was written.
	Duplicate
	// Rejected: refused for the reason in Published.Err. Nothing was written.
	Rejected
	// Unconfirmed: a part of the store that the message needs does not answer, or refuses; Published.Err is ErrUnreachable and says why.
	// The message may have been accepted all the same, so it counts neither as accepted nor as lost: publish it again with the same id.
	// What was accepted meanwhile is then a Duplicate of itself.
	Unconfirmed
)

// Published is the outcome of publishing one message.
type Published struct {
	State PublishState
	ID    string
	Err   error
}

// Claim asks for work.
type Claim struct {
	Queues []QueueLimit  // claimed from first to last
	Max    int           // in total; ≤ 0 claims nothing
	Lease  time.Duration // ≤ 0: DefaultLease; a message's own lease wins
	Wait   time.Duration // ≤ 0: return at once
	Owner  string        // node and boot id, see Owner; must not be empty
}

// QueueLimit names a queue and the most tasks to take from it; Limit ≤ 0: up to Claim.Max.
type QueueLimit struct {
	Queue string
	Limit int
}

// Receipt proves a claim. It is valid until the task is settled or claimed again; comparing owners alone would let an owner's
// own earlier claim through, the epoch does not.
type Receipt struct {
	ID       string
	Queue    string
	Position string // the adapter's own
	Owner    string
	Epoch    Epoch
}

// Delivery is a claimed task.
type Delivery struct {
	Message
	Receipt     Receipt
	LeasedUntil time.Time
}

// Lease asks for a receipt's lease to last For from now.
type Lease struct {
	Receipt Receipt
	For     time.Duration
}

// Kind says how a claim ends.
type Kind int

const (
	// Done removes the task.
	Done Kind = iota
	// Retry runs it again at Settlement.At, with Settlement.State.
	Retry
	// Hold hides it until Settlement.At and spends nothing.
	Hold
	// Release gives it back at once, in its old place, and spends nothing.
	Release
	// Park moves it to the parked lane of its name.
	Park
	// Move moves it to Settlement.Queue, behind what is there.
	Move
	// Dead removes it and keeps it among the dead letters with Settlement.Reason.
	Dead
	// AckEarly keeps the claim but marks the task as not to be run again; its Done or Dead is still accepted, once. When its
	// lease expires it is delivered with State.AckedEarly, and the only right answer is to settle it.
	AckEarly
)

// Settlement is the one write after execution: acknowledgement, result, records and follow-ups together.
type Settlement struct {
	Receipt Receipt
	Kind    Kind
	At      time.Time // Retry, Hold; the past means now
	Queue   string    // Move
	Reason  string    // Dead: one of the Reason constants or free-form; empty: ReasonUnknown
	// State replaces the daemons' part of the delivery state on every kind that keeps the message: Retry, Hold, Release,
	// Park, Move and Dead; nil keeps it.
	State  *State
	Result *StatusWrite  // fenced by the receipt's epoch
	Tally  *Tally        // Done and Dead: counts the end in the task's group and publishes its callback when that was the last
	Save   []RecordWrite // all or none, a conflict refuses the settlement
	Then   []Message     // published with it; a duplicate is not an error
}

// Reasons of dead letters.
const (
	ReasonUnregistered     = "unregistered-task"
	ReasonSignatureInvalid = "signature-invalid"
	ReasonRetriesExhausted = "max-retries-exhausted"
	ReasonPermanent        = "permanent"
	ReasonPoison           = "poison"
	ReasonInvalid          = "invalid-message"
	ReasonLostLease        = "lost-lease" // acknowledged early, and its worker went away
	ReasonUnknown          = "unknown"
)
