package adapters

import (
	"context"
	"strings"
	"sync"
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
	// once: its token is remembered until Forget. A task that is live here is left as it is. What is remembered of the id itself does
	// not matter.
	Adopt(ctx context.Context, stays ...Stay) error
	// Leave ends stays, claimed or not, from which tasks have gone to another lane. A task that lives in another stay is left as it is.
	Leave(ctx context.Context, stays ...Stay) error
	// Forget has the tokens of stays that were adopted be remembered only for as long as a chosen id is.
	Forget(ctx context.Context, tokens ...string) error
	// Outdate deletes the dead letters of these ids that are of an earlier epoch than those given.
	Outdate(ctx context.Context, ids []string, epochs []stem.Epoch) error
	// Look says what a claim of these queues may find.
	Look(ctx context.Context, queues ...string) (Outlook, error)
	// Await waits up to wait for something to come into one of these queues, and says whether anything may have. It claims nothing, and
	// may miss something for a second. A wake-up that it took and can not use, as ctx has ended, it passes on.
	Await(ctx context.Context, wait time.Duration, queues ...string) (bool, error)
}

// Outlook is what a claim may find.
type Outlook struct {
	There []bool        // of each queue: there is something
	Next  time.Duration // in which there may be more without anybody's doing anything; never: a long time
	Err   error         // the lane did not answer
}

// Watch looks and waits at many lanes together. See Lane.
type Watch interface {
	// Look is that of every lane; wait: a wake-up that is on its way need not be seen yet.
	Look(ctx context.Context, wait bool, asks []Ask) []Outlook
	// Await is that of all lanes. An error says that it could not wait everywhere.
	Await(ctx context.Context, wait time.Duration, asks []Ask) (bool, error)
}

// Ask is some of the queues of a lane.
type Ask struct {
	Lane   Lane
	Queues []string
}

// Stay is a task in a lane, from its arrival in a queue to its end there.
type Stay struct {
	Message stem.Message
	// Token tells this stay from every other one of the lane, also of the same task, and is the same over all of its claims.
	Token string
}

// StayID is the id under which a store may remember a token among the ids it remembers; no task can have it.
func StayID(token string) string { return strings.Repeat("\x00", stem.MaxName+1) + token }

// StayFor is how long a token is remembered that nobody forgets; the numbers of all stores are exact so far.
const StayFor = 100 * 365 * 24 * time.Hour

// StayAfter is how long it is remembered once it is forgotten.
func StayAfter(o stem.StoreOptions) time.Duration { return max(o.Dedupe, time.Hour) }

// laneOf names the lane of a queue: its own, but the private queues of subscribers, which come and go, share one.
func laneOf(queue string) string {
	if strings.HasPrefix(queue, stem.BroadcastPrefix) {
		return stem.BroadcastPrefix
	}
	return queue
}

// watch is the Watch of lanes that have none in common.
type watch struct{}

func (watch) Look(ctx context.Context, _ bool, asks []Ask) []Outlook {
	out := make([]Outlook, len(asks))
	_ = each(asks, func(i int, a Ask) (err error) {
		out[i], err = a.Lane.Look(ctx, a.Queues...)
		out[i].Err = err
		return nil
	})
	return out
}

func (watch) Await(ctx context.Context, wait time.Duration, asks []Ask) (bool, error) {
	some, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var there bool
	var failed error
	var all sync.WaitGroup
	for _, a := range asks {
		all.Go(func() {
			ok, err := a.Lane.Await(some, wait, a.Queues...)
			mu.Lock()
			defer mu.Unlock()
			if ok {
				there = true
				cancel()
			} else if err != nil && some.Err() == nil {
				failed = err
			}
		})
	}
	all.Wait()
	if there {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return false, failed
}
