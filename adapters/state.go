package adapters

import (
	"time"

	"github.com/stemd/stem"
)

// Accepted is the state of a message at the moment a store accepts it: what only stores may write is set afresh. epoch must
// be above what the message asked for and what is known of its id.
func Accepted(s stem.State, epoch stem.Epoch, now time.Time) stem.State {
	s.Epoch, s.Created = epoch, now
	s.Redeliveries, s.Replays, s.AckedEarly = 0, 0, false
	return s
}

// Settled is the state after a settlement that keeps the message: the daemons' part of given, if any, over the store's part
// of stored.
func Settled(stored stem.State, given *stem.State) stem.State {
	if given == nil {
		return stored
	}
	s := *given
	s.Epoch, s.Redeliveries, s.Created, s.NotBefore = stored.Epoch, stored.Redeliveries, stored.Created, stored.NotBefore
	s.AckedEarly, s.Replays = stored.AckedEarly, stored.Replays
	return s
}

// Replayed is the state of a dead letter that goes back to its queue, hidden until notBefore: a new start of the same task.
// The epoch is not touched; the next claim raises it.
func Replayed(s stem.State, notBefore time.Time) stem.State {
	return stem.State{Epoch: s.Epoch, Created: s.Created, Home: s.Home, Replays: s.Replays + 1, NotBefore: notBefore}
}
