package stem

import (
	"context"
	"encoding/json"
	"time"
)

// Groups counts the ends of tasks that belong together and says when the last has come. It is part of Results. All methods are
// safe for concurrent use.
type Groups interface {
	// OpenGroups creates groups. One that exists starts anew: what it counted is forgotten.
	OpenGroups(ctx context.Context, groups ...Group) error
	// LoadGroups returns one entry per id, nil where there is none or it has expired.
	LoadGroups(ctx context.Context, ids ...string) ([]*GroupStatus, error)
	// Tally counts ends and returns the groups' states in the order of the tallies. Each member counts once: a later epoch
	// replaces what an earlier one said, an earlier or the same one changes nothing. Ends of tasks that are no members, and of
	// groups that are unknown or have expired, are not counted.
	//
	// The tally that completes a group whose members all succeeded makes it GroupFiring, and this and every later tally return
	// its callback until Fired. Who gets a callback publishes it and then calls Fired: its id is chosen, so that publishing it
	// twice is harmless. Brokers whose settlement counts in the same transaction do both themselves.
	Tally(ctx context.Context, tallies ...Tally) ([]Tallied, error)
	// Fired makes groups that are GroupFiring GroupFired.
	Fired(ctx context.Context, ids ...string) error
}

// Group is a set of tasks whose ends are counted.
type Group struct {
	ID       string
	Members  []string                   // task ids, in the order in which results are wanted; at most MaxGroup, each once
	Callback *Message                   // published when all members have succeeded; nil: none
	Meta     map[string]json.RawMessage // free
	TTL      time.Duration              // since it was opened or counted last; ≤ 0: DefaultGroupTTL
}

// GroupState says how far a group is.
type GroupState string

const (
	// GroupUnknown: there is none, or it has expired.
	GroupUnknown GroupState = ""
	// GroupOpen: members are missing.
	GroupOpen GroupState = "open"
	// GroupFiring: all have succeeded and the callback is to be published.
	GroupFiring GroupState = "firing"
	// GroupFired: the callback is published.
	GroupFired GroupState = "fired"
	// GroupDone: all have succeeded and there is no callback.
	GroupDone GroupState = "done"
	// GroupFailed: all have ended and one has not succeeded; the callback is not published. A member that is replayed and
	// succeeds can still complete the group.
	GroupFailed GroupState = "failed"
)

// GroupStatus is a group as it is now.
type GroupStatus struct {
	Group
	State   GroupState
	Ended   map[string]TaskState // members that have ended
	Expires time.Time
}

// Tally counts the end of a member.
type Tally struct {
	Group  string
	TaskID string    // in a settlement: the receipt's, whatever is here
	Epoch  Epoch     // likewise
	State  TaskState // terminal
}

// Tallied is a group after a tally.
type Tallied struct {
	State    GroupState
	Callback *Message // to be published: State is GroupFiring
}

// GroupStateOf is the one rule of a group's state: of its members, how many have ended and how many of these succeeded.
func GroupStateOf(now GroupState, members, ended, succeeded int, callback bool) GroupState {
	switch {
	case now == GroupFired || now == GroupFiring:
		return now
	case ended < members:
		return GroupOpen
	case succeeded < members:
		return GroupFailed
	case callback:
		return GroupFiring
	}
	return GroupDone
}
