package adapters

import (
	"context"

	"github.com/stemd/stem/internal/collect"
)

// Collector turns many small calls into few large ones without adding latency; see its documentation in internal/collect.
type Collector[T, R any] = collect.Collector[T, R]

// NewCollector makes a Collector whose do gets up to limit items and returns one result per item, or an error for all. do is never called
// concurrently with itself.
func NewCollector[T, R any](limit int, do func(context.Context, []T) ([]R, error)) *Collector[T, R] {
	return collect.NewCollector(limit, 1, do)
}
