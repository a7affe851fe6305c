package adapters

import (
	"context"
	"strings"
	"time"

	"github.com/stemd/stem"
)

// Lane is the Broker of one lane of a spread store: an ordinary broker, and what it takes to be one of many. See Spread.
type Lane interface {
	stem.Broker
	stem.Inspector
	stem.Maintainer
	stem.Takeover
	// Knows says of each id whether publishing it here would be a duplicate of itself: its task is live, or it is remembered.
	Knows(ctx context.Context, ids ...string) ([]bool, error)
	// Stays reads live tasks whole, nil where there is none.
	Stays(ctx context.Context, ids ...string) ([]*Stay, error)
	// Adopt takes tasks that leave another lane, behind what is in Message.Queue and with everything of their state. A stay is adopted
	// once: its token is remembered, whatever becomes of the task, for as long as a chosen id is. A task that is live here is left as
	// it is, unless it lives in the stay that Over names: that one ends, claimed or not, and the new one takes its place. What is
	// remembered of the id itself does not matter.
	Adopt(ctx context.Context, stays ...Stay) error
	// Await waits up to wait for something that a claim of one of these queues may find, and says whether there is; wait ≤ 0 only
	// looks. It claims nothing. A wake-up that it took and can not use, as ctx has ended, it passes on.
	Await(ctx context.Context, wait time.Duration, queues ...string) (bool, error)
}

// Stay is a task in a lane, from its arrival in a queue to its end there.
type Stay struct {
	Message stem.Message
	// Token tells this stay from every other one of the lane, also of the same task, and is the same over all of its claims.
	Token string
	// Over is for Adopt: a stay of this task in the lane that adopts it, from which the task has gone already; empty: there is none.
	Over string
}

// StayID is the id under which a store may remember a token among the ids it remembers; no task can have it.
func StayID(token string) string { return strings.Repeat("\x00", stem.MaxName+1) + token }

// laneOf names the lane of a queue: its own, but the private queues of subscribers, which come and go, share one.
func laneOf(queue string) string {
	if strings.HasPrefix(queue, stem.BroadcastPrefix) {
		return stem.BroadcastPrefix
	}
	return queue
}
