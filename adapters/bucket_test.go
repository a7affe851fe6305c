package adapters_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	"pgregory.net/rapid"
)

func anyRate(t *rapid.T) stem.Rate {
	r := stem.Rate{
		Tokens: rapid.IntRange(1, 50).Draw(t, "tokens"),
		Per:    time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Hour)).Draw(t, "per")),
		Burst:  rapid.IntRange(0, 60).Draw(t, "burst"),
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNoSpanHasMoreGrantsThanTheRateAndTheBurst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRate(t)
		var b adapters.Bucket
		now, per := int64(1e15), r.Per.Microseconds()
		hold := r.Burst
		if hold == 0 {
			hold = r.Tokens
		}
		var grants []int64
		for range rapid.IntRange(1, 300).Draw(t, "asks") {
			now += rapid.Int64Range(0, 2*per/int64(r.Tokens)).Draw(t, "pause")
			if b.Take(r, now).Granted {
				grants = append(grants, now)
			}
			from, _ := slices.BinarySearch(grants, now-per)
			if n := len(grants) - from; n > r.Tokens+hold {
				t.Fatalf("%d grants in %s, want at most %d + %d", n, r.Per, r.Tokens, hold)
			}
		}
	})
}

func TestABucketThatIsForgottenInTimeDecidesAsBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRate(t)
		var kept, forgotten adapters.Bucket
		now, forget := int64(1e15), int64(0)
		for range rapid.IntRange(1, 100).Draw(t, "asks") {
			pause := r.Per.Microseconds() * 3 / int64(r.Tokens)
			if rapid.Bool().Draw(t, "rest") {
				pause = forget - now + 1
			}
			if now += rapid.Int64Range(0, max(pause, 1)).Draw(t, "pause"); now >= forget {
				forgotten = adapters.Bucket{}
			}
			want, got := kept.Take(r, now), forgotten.Take(r, now)
			if got != want || got.Granted != got.Until.IsZero() {
				t.Fatalf("forgotten: %+v, kept: %+v", got, want)
			}
			if forget = forgotten.Forget(r); forget != kept.Forget(r) {
				t.Fatalf("to forget at %d and %d", forget, kept.Forget(r))
			}
		}
	})
}

func TestWhoeverIsToldToWaitFindsATokenWhenNobodyElseAsks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRate(t)
		var b adapters.Bucket
		now := int64(1e15)
		for range 200 {
			a := b.Take(r, now)
			if a.Granted {
				continue
			}
			if until := a.Until.UnixMicro(); until <= now {
				t.Fatalf("told at %d to wait until %d", now, until)
			}
			again := b
			if !again.Take(r, a.Until.UnixMicro()).Granted {
				t.Fatalf("told at %d to wait until %d, where there is nothing: %+v", now, a.Until.UnixMicro(), b)
			}
		}
	})
}
