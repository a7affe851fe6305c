package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
)

// outage is the state of one way to the store: it says once that it is broken, once more for each cause that comes while it lasts, and once
// that it works again. The zero value works. It is safe for concurrent use.
type outage struct {
	log  hclog.Logger
	what string // "broker: claim"

	mu    sync.Mutex
	since time.Time
	cause reasons
}

// failed notes an error; consequence is what the log line says about it.
func (o *outage) failed(err error, consequence string) {
	o.mu.Lock()
	now := time.Now()
	first := o.since.IsZero()
	if first {
		o.since, o.cause = now, reasons{}
	}
	tell := o.cause.tell(err, now)
	o.mu.Unlock()
	if !tell {
		o.log.Debug(o.what, "error", err)
		return
	}
	why := strings.ReplaceAll(err.Error(), "\n", "; ") // one line for each event, also of several errors
	if !first {
		why = "still, and now: " + why
	}
	o.log.Error(fmt.Sprintf("%s: %s; %s; trying again every %v-%v", o.what, why, consequence, retryLeast, retryMost))
}

// over notes an answer.
func (o *outage) over() {
	o.mu.Lock()
	since := o.since
	o.since = time.Time{}
	o.mu.Unlock()
	if !since.IsZero() {
		o.log.Info(fmt.Sprintf("%s: works again after %v", o.what, time.Since(since).Round(time.Millisecond)))
	}
}

// down says whether the last answer was an error.
func (o *outage) down() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero()
}

// Waits between two tries of a store that does not answer: they grow from first to last, and each is up to so much of itself shorter or
// longer, so that many daemons do not come at once. None is shorter than retryLeast or longer than retryMost.
const (
	retryFirst  = 500 * time.Millisecond
	retryLast   = 2 * time.Second
	retryJitter = 0.5
	retryLeast  = retryFirst / 2
	retryMost   = retryLast + retryLast/2
)

func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.RandomizationFactor = retryFirst, retryLast, retryJitter
	b.Reset()
	return b
}

// claimBackoff is the wait between two claims of which the first was in vain.
type claimBackoff struct{ store, part *backoff.ExponentialBackOff }

func newClaimBackoff() claimBackoff {
	part := newBackoff()
	part.InitialInterval = partPause
	part.Reset()
	return claimBackoff{newBackoff(), part}
}

// failed says whether a claim that took so long failed, and then waits.
func (b claimBackoff) failed(ctx context.Context, err error, took time.Duration, wake <-chan struct{}) bool {
	if err == nil {
		b.store.Reset()
		b.part.Reset()
		return false
	}
	d, hasty := b.next(err, took)
	if !hasty {
		wake = nil
	}
	pause(ctx, d, wake)
	return true
}

// next is how long to wait after a claim that failed. Where a part of the store can not be reached and the claim has waited for what the
// others have, the next one may come at once, and who pokes has a reason for it: hasty; where it has not, no part may be there.
func (b claimBackoff) next(err error, took time.Duration) (d time.Duration, hasty bool) {
	switch {
	case !errors.Is(err, stem.ErrUnreachable):
		return b.store.NextBackOff(), false
	case took >= learnWait:
		b.part.Reset()
		return partPause, true
	}
	return b.part.NextBackOff(), false
}

// pause waits for d, for ctx or for a poke, and says whether to go on.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-wake:
	}
	return ctx.Err() == nil
}
