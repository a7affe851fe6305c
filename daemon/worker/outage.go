package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/go-hclog"
)

// outage is the state of one way to the store: it says once that it is broken and once that it works again. The zero value
// works. It is safe for concurrent use.
type outage struct {
	log  hclog.Logger
	what string // "broker: claim"

	mu    sync.Mutex
	since time.Time
}

// failed notes an error; consequence is what the log line says about it.
func (o *outage) failed(err error, consequence string) {
	o.mu.Lock()
	first := o.since.IsZero()
	if first {
		o.since = time.Now()
	}
	o.mu.Unlock()
	if first {
		o.log.Error(fmt.Sprintf("%s: %v; %s; trying again every %v-%v", o.what, err, consequence, retryFirst, retryLast))
	} else {
		o.log.Debug(o.what, "error", err)
	}
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

// Waits between two tries of a store that does not answer.
const (
	retryFirst = 500 * time.Millisecond
	retryLast  = 2 * time.Second
)

func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = retryFirst, retryLast
	b.Reset()
	return b
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
