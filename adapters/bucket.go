package adapters

import (
	"time"

	"github.com/stemd/stem"
)

// Bucket is what a store keeps of a limiter's key, in microseconds of the store's clock. The zero value is a full bucket that nobody
// waits for.
type Bucket struct {
	// Full is when the bucket is full again: the theoretical arrival time of the generic cell rate algorithm, with the burst as its
	// tolerance.
	Full int64
	// Last is the latest time that somebody was told to ask again.
	Last int64
}

const (
	second = int64(time.Second / time.Microsecond)
	spread = int64(stem.RateSpread / time.Microsecond)
)

// Take takes one token, or tells when to ask again. A full bucket fills by another tenth of a token, worth a second at most, unless
// nobody asks for a while: without it those who are told to come lose what comes while they are on their way, and single tokens never
// reach their rate.
//
// Neither a clock that was put back nor a rate that was raised keeps a key from giving tokens for longer than one that is empty.
func (b *Bucket) Take(r stem.Rate, nowUS int64) stem.RateAnswer {
	every := interval(r)
	whole := every * burst(r) // what a full bucket holds
	full := nowUS
	if b.Full <= nowUS-rest(every) {
		b.Last = 0 // whoever was told to come would have taken what there is: nobody waits any more
	} else {
		full = min(max(b.Full, nowUS-min(every/10, second)), nowUS+whole)
	}
	if next := full + every - whole; next > nowUS {
		until := max(b.Last+every, next)
		if until > next+spread {
			until = next
		}
		b.Full, b.Last = full, until
		return stem.RateAnswer{Until: time.UnixMicro(until).UTC()}
	}
	b.Full = full + every
	return stem.RateAnswer{Granted: true}
}

// RateNumbers are a rate as the scripts of a store want it: the microseconds between two tokens, and how many a full bucket has.
func RateNumbers(r stem.Rate) (every, hold int64) { return interval(r), burst(r) }

// Forget is from when on the bucket is as good as a new one, in microseconds.
func (b *Bucket) Forget(r stem.Rate) int64 { return max(b.Full+rest(interval(r)), b.Last) }

// interval is the time between two tokens, in microseconds.
func interval(r stem.Rate) int64 {
	n := int64(r.Tokens)
	return (r.Per.Microseconds() + n - 1) / n
}

// burst is how many tokens a full bucket has.
func burst(r stem.Rate) int64 {
	if r.Burst == 0 {
		return int64(r.Tokens)
	}
	return int64(r.Burst)
}

// rest is how long a full bucket is left alone before nobody waits for it.
func rest(every int64) int64 { return max(every, second) }

// CheckAsk says why a limiter can not answer, or nil. Every limiter refuses the same.
func CheckAsk(a stem.RateAsk) error {
	if a.Key == "" {
		return &stem.OptionError{Option: "rate", Reason: "has no key"}
	}
	if n := len(a.Key); n > stem.MaxName {
		return &stem.SizeError{What: "key of a rate", Size: n, Limit: stem.MaxName}
	}
	return a.Rate.Check()
}
