package adaptertest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stemd/stem"
)

// rate is n tokens per r.span.
func (r *rig) rate(n int) stem.Rate { return stem.Rate{Tokens: n, Per: r.span} }

// tokens asks for n of a key.
func tokens(n int, key string, rate stem.Rate) []stem.RateAsk {
	out := make([]stem.RateAsk, n)
	for i := range out {
		out[i] = stem.RateAsk{Key: key, Rate: rate}
	}
	return out
}

func (r *rig) takeTokens(asks ...stem.RateAsk) []stem.RateAnswer {
	r.Helper()
	out, err := r.store.Broker.(stem.Limiter).Take(r.ctx, asks...)
	r.noError(err)
	if len(out) != len(asks) {
		r.Fatalf("%d asked for tokens, %d answers", len(asks), len(out))
	}
	for i, a := range out {
		if a.Err != nil || a.Granted != a.Until.IsZero() {
			r.Fatalf("asking for a token of %q gave %+v", asks[i].Key, a)
		}
	}
	return out
}

func granted(answers []stem.RateAnswer) (n int) {
	for _, a := range answers {
		if a.Granted {
			n++
		}
	}
	return n
}

// grants says how many of n tokens that are asked for at once are granted.
func (r *rig) grants(want, n int, key string, rate stem.Rate) []stem.RateAnswer {
	r.Helper()
	out := r.takeTokens(tokens(n, key, rate)...)
	if got := granted(out); got != want {
		r.Fatalf("%d of %d tokens of %q granted, want %d", got, n, key, want)
	}
	return out
}

func paced(c Capabilities) bool { return c.Limiter && c.Clock }

func limiterCases() []testCase {
	cases := []testCase{
		{rule: "a key that has rested gives its burst at once, by default as much as its rate, and no more", run: func(r *rig) {
			slow := stem.Rate{Tokens: 4, Per: time.Hour}
			r.grants(4, 10, "a", slow)
			r.grants(0, 10, "a", slow)
			slow.Burst = 7
			r.grants(7, 10, "b", slow)
			slow.Burst = 1
			r.grants(1, 10, "c", slow)
		}},
		{rule: "in one batch those who ask first are granted first", run: func(r *rig) {
			for i, a := range r.grants(3, 6, "a", stem.Rate{Tokens: 3, Per: time.Hour}) {
				if a.Granted != (i < 3) {
					r.Errorf("number %d: %+v", i, a)
				}
			}
		}},
		{rule: "keys are independent of each other, and each has its own rate", run: func(r *rig) {
			slow := stem.Rate{Tokens: 1, Per: time.Hour}
			var asks []stem.RateAsk
			for i := range 300 {
				asks = append(asks, stem.RateAsk{Key: fmt.Sprint("tenant ", i), Rate: slow})
			}
			if n := granted(r.takeTokens(append(asks, asks...)...)); n != len(asks) {
				r.Errorf("%d granted, want one for each of %d keys", n, len(asks))
			}
			r.grants(2, 3, "{odd} key:l}", stem.Rate{Tokens: 2, Per: time.Hour})
		}},
		{rule: "a token that comes is given once, and a rest saves no more than the burst", needs: paced, run: func(r *rig) {
			rate := r.rate(4)
			r.grants(4, 4, "a", rate)
			r.pass(r.span/4 - time.Second)
			r.grants(0, 1, "a", rate)
			r.pass(time.Second)
			r.grants(1, 5, "a", rate)
			r.pass(100 * r.span)
			r.grants(4, 5, "a", rate)
		}},
		{rule: "those who wait are told different times, as far apart as the tokens", needs: paced, run: func(r *rig) {
			rate := r.rate(20)
			for i, a := range r.grants(20, 30, "a", rate)[20:] {
				r.near(fmt.Sprint("number ", i), a.Until, r.now().Add(time.Duration(i+1)*r.span/20))
			}
			later := r.grants(0, 1, "a", rate)[0] // a later one stands behind them
			r.near("the next one", later.Until, r.now().Add(11*r.span/20))
		}},
		{rule: "each of those who wait is granted when it asks again at its time", needs: paced, run: func(r *rig) {
			for _, burst := range []int{1, 5} {
				key, rate := fmt.Sprint("burst ", burst), stem.Rate{Tokens: 60, Per: r.span, Burst: burst}
				for _, a := range r.grants(burst, 30, key, rate)[burst:] {
					r.pass(a.Until.Sub(r.now()) + time.Duration(burst)*time.Second) // and a little late
					r.grants(1, 1, key, rate)
				}
			}
		}},
		{rule: "nobody is told to wait longer than the next token and the spread", needs: paced, run: func(r *rig) {
			rate := stem.Rate{Tokens: 1, Per: time.Minute}
			latest := r.now().Add(time.Minute + stem.RateSpread)
			for i, a := range r.grants(1, 400, "a", rate)[1:] {
				if a.Until.After(latest) || a.Until.Before(r.now().Add(time.Minute)) {
					r.Fatalf("number %d is to wait until %v", i, a.Until)
				}
			}
		}},
		{rule: "who waited and never came holds up nobody who comes later", needs: paced, run: func(r *rig) {
			rate := stem.Rate{Tokens: 1, Per: time.Minute}
			r.grants(1, 50, "a", rate)
			r.pass(3 * time.Minute)
			r.near("the next one", r.grants(1, 2, "a", rate)[1].Until, r.now().Add(time.Minute))
		}},
		{rule: "a clock that was put back closes no key for longer than an empty one, and a clock put forward fills it once", needs: paced, run: func(r *rig) {
			rate := r.rate(4)
			r.grants(4, 5, "a", rate)
			r.pass(-100 * r.span)
			if until := r.grants(0, 1, "a", rate)[0].Until; until.After(r.now().Add(r.span + stem.RateSpread)) {
				r.Errorf("wait until %v, it is %v", until, r.now())
			}
			r.pass(r.span)
			r.grants(4, 5, "a", rate)
			r.pass(100 * r.span)
			r.grants(4, 5, "a", rate)
		}},
		{rule: "a rate that is raised counts at once", needs: paced, run: func(r *rig) {
			r.grants(1, 2, "a", stem.Rate{Tokens: 1, Per: 10 * r.span})
			fast := stem.Rate{Tokens: 10, Per: time.Second}
			r.grants(0, 1, "a", fast)
			r.pass(time.Second)
			r.grants(10, 20, "a", fast)
		}},
		{rule: "an ask that can not be refuses itself and nobody else", run: func(r *rig) {
			good := stem.Rate{Tokens: 1, Per: time.Second}
			bad := []stem.RateAsk{
				{Key: "", Rate: good},
				{Key: strings.Repeat("k", stem.MaxName+1), Rate: good},
				{Key: "k"},
				{Key: "k", Rate: stem.Rate{Tokens: -1, Per: time.Second}},
				{Key: "k", Rate: stem.Rate{Tokens: 1}},
				{Key: "k", Rate: stem.Rate{Tokens: 1, Per: stem.MaxRatePeriod + 1}},
				{Key: "k", Rate: stem.Rate{Tokens: 1 << 30, Per: time.Second}},
				{Key: "k", Rate: stem.Rate{Tokens: 1, Per: time.Second, Burst: -1}},
				{Key: "k", Rate: stem.Rate{Tokens: 1, Per: time.Hour, Burst: 1 << 40}},
			}
			out, err := r.store.Broker.(stem.Limiter).Take(r.ctx, append(bad, stem.RateAsk{Key: strings.Repeat("k", stem.MaxName), Rate: good})...)
			r.noError(err)
			for i, a := range out {
				if last := i == len(bad); a.Granted != last || (a.Err == nil) != last || !a.Until.IsZero() {
					r.Errorf("number %d: %+v", i, a)
				}
			}
		}},
		{rule: "keys of the limiter that have rested are deleted and counted", needs: func(c Capabilities) bool { return paced(c) && c.Maintainer }, run: func(r *rig) {
			const n = 1500
			slow, fast := stem.Rate{Tokens: 1, Per: 2 * time.Hour}, stem.Rate{Tokens: 1, Per: time.Minute}
			asks := []stem.RateAsk{{Key: "slow", Rate: slow}}
			for i := range n {
				asks = append(asks, stem.RateAsk{Key: fmt.Sprint(i), Rate: fast})
			}
			r.takeTokens(asks...)
			for _, deleted := range []int{0, n, 0, 1} {
				if r.caps.LimitsExpire {
					deleted = 0
				}
				if m := r.maintain(); m != (stem.Maintained{Limits: deleted}) {
					r.Errorf("at %v Maintain deleted %+v, want %d keys", r.now(), m, deleted)
				}
				r.pass(100 * time.Minute)
			}
			r.grants(1, 2, "slow", slow)
			r.grants(1, 2, "0", fast)
		}},
		{rule: "deleting what has expired gives a key no token", needs: func(c Capabilities) bool { return paced(c) && c.Maintainer }, run: func(r *rig) {
			r.grants(1, 9, "a", r.rate(1))
			r.maintain()
			r.grants(0, 1, "a", r.rate(1))
		}},
	}
	return append(needing(limiter, cases), limiterSiblingCases()...)
}

func limiterSiblingCases() []testCase {
	both := func(c Capabilities) bool { return c.Limiter && c.Sibling != nil }
	return []testCase{
		{rule: "of all who ask at the same time, through any handle, no more than the burst and what came are granted", needs: both, live: true, run: func(r *rig) {
			const askers, rounds = 6, 40
			rate := stem.Rate{Tokens: 100, Per: time.Second, Burst: 20}
			var mu sync.Mutex
			total := 0
			begun := time.Now()
			var wg sync.WaitGroup
			for range askers {
				s := r.sibling()
				wg.Go(func() {
					for range rounds {
						out, err := s.Broker.(stem.Limiter).Take(r.ctx, tokens(3, "a", rate)...)
						if err != nil {
							r.Error(err)
							return
						}
						mu.Lock()
						total += granted(out)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			most := rate.Burst + 1 + int(time.Since(begun)/(rate.Per/time.Duration(rate.Tokens)))
			if total > most || total < rate.Burst {
				r.Errorf("%d granted, want %d to %d", total, rate.Burst, most)
			}
		}},
		{rule: "the keys of two namespaces are apart", needs: both, run: func(r *rig) {
			slow := stem.Rate{Tokens: 1, Per: time.Hour}
			r.grants(1, 2, "b:l:c", slow)
			r.store = r.sibling(stem.Namespace("stem:l:b"))
			r.grants(1, 2, "c", slow)
		}},
	}
}
