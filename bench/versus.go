package main

import (
	"fmt"
	"strings"
)

// comparison is how Stem does against another system in the same case of the same run: its figure over the other's. Absent figures are 0.
type comparison struct {
	Rate float64 `json:"rate,omitempty"` // more is better
	P50  float64 `json:"p50,omitempty"`  // less is better, from here on
	P99  float64 `json:"p99,omitempty"`
	CPU  float64 `json:"cpu,omitempty"` // for each task
}

// versus compares another system's result with Stem's of the same case, if that ran before; nil: it did not.
func versus(before []result, r result) *comparison {
	if r.System == "stem" {
		return nil
	}
	over := func(ours, theirs float64) float64 {
		if ours <= 0 || theirs <= 0 {
			return 0
		}
		return ours / theirs
	}
	for _, own := range before {
		if own.System == "stem" && own.Case == r.Case && own.N > 0 && r.N > 0 {
			return &comparison{
				Rate: over(own.PerSec, r.PerSec), P50: over(own.P50, r.P50), P99: over(own.P99, r.P99),
				CPU: over(own.CPU/float64(own.N), r.CPU/float64(r.N)),
			}
		}
	}
	return nil
}

// sentence is a comparison for people.
func (c *comparison) sentence(r result) string {
	var parts []string
	for _, p := range []struct {
		form string
		of   float64
	}{{"%.1f × its rate", c.Rate}, {"%.3g of its p50", c.P50}, {"%.3g of its p99", c.P99}, {"%.2f of its CPU for each task", c.CPU}} {
		if p.of > 0 {
			parts = append(parts, fmt.Sprintf(p.form, p.of))
		}
	}
	return fmt.Sprintf("%s: Stem against %s: %s", r.Case, r.System, strings.Join(parts, ", "))
}
