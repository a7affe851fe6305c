package main

import (
	"context"
	"fmt"
	"slices"
)

// supervision is what the register, evidence and the capture of output cost: the same drain with them and without, in turns, so that
// both meet the same machine. The rate is the median with them, the ratio the median of with to without over the pairs.
func supervision(l memoryLoad) func(context.Context, setting) (result, error) {
	const pairs = 25
	return func(ctx context.Context, s setting) (result, error) {
		var rates, ratios []float64
		var last result
		for i := range pairs {
			var rate [2]float64 // with, without
			for j := range rate {
				which := (i + j) % 2 // each is first in turn
				l.bare = which == 1
				r, err := l.drain(ctx, s, s.count(60_000))
				if err != nil {
					return r, err
				}
				if rate[which] = r.PerSec; !l.bare {
					last = r
				}
			}
			rates, ratios = append(rates, rate[0]), append(ratios, rate[0]/rate[1])
		}
		slices.Sort(rates)
		slices.Sort(ratios)
		last.PerSec, last.Ratio = rates[pairs/2], ratios[pairs/2]
		last.Seconds = float64(last.N) / last.PerSec
		return last, nil
	}
}

// ratio is how a table shows one; empty: there is none.
func ratio(r float64) string {
	if r == 0 {
		return ""
	}
	return fmt.Sprintf("%.3f", r)
}
