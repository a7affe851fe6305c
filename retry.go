package stem

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	taskv1 "github.com/stemd/stem/plugin/proto/stem/task/v1"
)

// RetryPolicy says how long to wait before the next attempt and which errors deserve one. The zero value retries every error
// at once.
type RetryPolicy struct {
	Backoff          bool          `json:"backoff,omitempty"`      // DefaultDelay·2^attempt instead of the constant DefaultDelay
	BackoffMax       time.Duration `json:"backoffMax,omitempty"`   // cap; 0: none
	NoJitter         bool          `json:"noJitter,omitempty"`     // do not subtract up to a quarter at random
	DefaultDelay     time.Duration `json:"defaultDelay,omitempty"` // base
	MaxRetries       *int          `json:"maxRetries,omitempty"`   // overrides the task's own
	AutoRetryFor     []string      `json:"autoRetryFor,omitempty"` // error type names; empty: all
	DontAutoRetryFor []string      `json:"dontAutoRetryFor,omitempty"`
}

// DefaultRetryPolicy applies where nobody set one: exponential from 2 s to 5 min with jitter.
func DefaultRetryPolicy() RetryPolicy {
	return RetryPolicy{Backoff: true, BackoffMax: 5 * time.Minute, DefaultDelay: 2 * time.Second}
}

// Retries says whether an error of this type name deserves another attempt. DontAutoRetryFor is looked at first.
func (p RetryPolicy) Retries(errorType string) bool {
	if slices.Contains(p.DontAutoRetryFor, errorType) {
		return false
	}
	return len(p.AutoRetryFor) == 0 || slices.Contains(p.AutoRetryFor, errorType)
}

// Delay is the wait after the 0-based attempt that just failed. With backoff it saturates instead of overflowing, and with
// jitter it lies within 75 to 100 % of the capped value, in whole milliseconds. Backoff without a base counts from 1 s.
func (p RetryPolicy) Delay(attempt int) time.Duration { return p.delay(attempt, rand.Int64N) }

func (p RetryPolicy) delay(attempt int, intN func(int64) int64) time.Duration {
	base := max(p.DefaultDelay, 0)
	if !p.Backoff {
		return base
	}
	if base == 0 {
		base = time.Second
	}
	capped := time.Duration(math.MaxInt64)
	if attempt = max(attempt, 0); attempt < 62 && base <= capped>>attempt {
		capped = base << attempt
	}
	if p.BackoffMax > 0 {
		capped = min(capped, p.BackoffMax)
	}
	if quarter := (capped / 4).Milliseconds(); !p.NoJitter && quarter > 0 {
		capped -= time.Duration(intN(quarter+1)) * time.Millisecond
	}
	return capped
}

// Proto converts to the wire form; nil stays nil.
func (p *RetryPolicy) Proto() *taskv1.RetryPolicy {
	if p == nil {
		return nil
	}
	m := &taskv1.RetryPolicy{
		Backoff: p.Backoff, DefaultDelay: p.DefaultDelay.Microseconds(), MaxRetries: int32p(p.MaxRetries),
		AutoRetryFor: p.AutoRetryFor, DontAutoRetryFor: p.DontAutoRetryFor,
	}
	if p.BackoffMax > 0 {
		m.BackoffMax = durationp(&p.BackoffMax)
	}
	if p.NoJitter {
		m.Jitter = new(bool)
	}
	return m
}

// RetryPolicyFromProto converts from the wire form; nil stays nil.
func RetryPolicyFromProto(m *taskv1.RetryPolicy) *RetryPolicy {
	if m == nil {
		return nil
	}
	p := &RetryPolicy{
		Backoff: m.Backoff, NoJitter: m.Jitter != nil && !*m.Jitter, DefaultDelay: time.Duration(m.DefaultDelay) * time.Microsecond,
		MaxRetries: intp(m.MaxRetries), AutoRetryFor: m.AutoRetryFor, DontAutoRetryFor: m.DontAutoRetryFor,
	}
	if d := fromDurationp(m.BackoffMax); d != nil {
		p.BackoffMax = *d
	}
	return p
}
