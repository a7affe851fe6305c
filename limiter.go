package stem

import (
	"context"
	"fmt"
	"time"
)

// Limiter is the optional capability of a Broker to keep rates that hold over all processes together. All methods are safe for
// concurrent use.
type Limiter interface {
	// Take asks for one token each and gives an answer for each, in order; those of one key are decided in order too. The time is
	// the store's. An error means that nothing is known: tokens may have been taken, and never too many were granted.
	Take(ctx context.Context, asks ...RateAsk) ([]RateAnswer, error)
}

// Rate is how many tokens a key gives: Tokens per Per, and after a rest up to Burst at once. In no span of the length Per are there
// more than Tokens + Burst. The interval between two tokens is Per ÷ Tokens, rounded up to a microsecond.
type Rate struct {
	Tokens int           // at least 1
	Per    time.Duration // at most MaxRatePeriod, and at least MinRateInterval for each token
	Burst  int           // at most what comes in MaxRateRefill; 0: Tokens
}

// Bounds of a Rate.
const (
	MinRateInterval = 10 * time.Microsecond
	MaxRatePeriod   = 24 * time.Hour
	MaxRateRefill   = 366 * 24 * time.Hour
)

// Check says why a rate can not be kept, or nil.
func (r Rate) Check() error {
	switch {
	case r.Tokens < 1:
		return &OptionError{"rate", fmt.Sprintf("gives %d tokens, want at least 1", r.Tokens)}
	case r.Per <= 0 || r.Per > MaxRatePeriod:
		return &OptionError{"rate", fmt.Sprintf("is per %s, want more than 0 and at most %s", r.Per, MaxRatePeriod)}
	case r.Per/time.Duration(r.Tokens) < MinRateInterval:
		return &OptionError{"rate", fmt.Sprintf("gives %d tokens per %s, want at most one each %s", r.Tokens, r.Per, MinRateInterval)}
	case r.Burst < 0 || int64(r.Burst) > int64(MaxRateRefill)/int64(r.Per/time.Duration(r.Tokens)):
		return &OptionError{"rate", fmt.Sprintf("has a burst of %d, want at least 0 and at most what comes in %s", r.Burst, MaxRateRefill)}
	}
	return nil
}

// RateAsk asks for one token of a key. Keys need no creating and are forgotten when they have rested. A key whose Rate changes goes on
// with what it has.
type RateAsk struct {
	Key  string // at most MaxName bytes
	Rate Rate
}

// RateAnswer is granted, or how long to wait, or why there is no answer.
type RateAnswer struct {
	Granted bool
	// Until is when to ask again if it is not granted. Those who wait for one key are told different times, as far apart as its
	// tokens and at most RateSpread beyond the next one. It is an estimate and no entitlement: a token goes to whoever asks when it
	// is there, so a task of higher priority that comes later does not stand behind those who wait.
	Until time.Time
	// Err is why this one can not be answered: a key or rate that can not be, or the part of the store that keeps this key.
	Err error
}

// RateSpread is how far from the next token a waiting task is told to ask again at most, so that a limit that was raised is noticed,
// and tasks that were cancelled hold up nobody for long. Beyond it several are told the same times.
const RateSpread = time.Hour
