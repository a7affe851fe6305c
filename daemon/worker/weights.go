package worker

import (
	"math"
	"slices"
	"strings"

	"github.com/stemd/stem"
)

// weights shares claims between the queues of a pool by deficit round robin: a queue that has work gets its weight's part of
// the slots over time, and what a queue without work leaves is shared by the others within the same claim. It is not safe for
// concurrent use; a claim loop owns it.
type weights struct {
	queues []*share
	asked  int // size of the plan not yet answered
}

// share is one queue's account. Credit is what it may still take, in tasks: it grows by the queue's part of every plan and
// falls by what is taken.
type share struct {
	queue  string
	weight int
	busy   bool // had as much as was asked when last looked at
	credit float64
	limit  int
}

// newWeights starts all accounts at zero and all queues as idle.
func newWeights(queues map[string]int) *weights {
	w := &weights{}
	for queue, weight := range queues {
		w.queues = append(w.queues, &share{queue: queue, weight: max(weight, 1)})
	}
	slices.SortFunc(w.queues, func(a, b *share) int { return strings.Compare(a.queue, b.queue) })
	return w
}

// plan divides n ≥ 1 slots: queues that were idle are asked first, each for no more than its part, so that they are never
// starved and hardly cost when they still are idle; the busy ones share all of n. Those whose turn it is not come last: they are given what
// the others leave, so that nobody waits for an empty queue while another is full.
func (w *weights) plan(n int) []stem.QueueLimit {
	w.asked = n
	var all, busy int
	for _, q := range w.queues {
		all += q.weight
		if q.busy {
			busy += q.weight
		}
	}
	left := n
	for _, q := range w.queues {
		if !q.busy {
			q.limit = int(math.Ceil(float64(n) * float64(q.weight) / float64(all)))
			continue
		}
		q.credit += float64(n) * float64(q.weight) / float64(busy)
		q.limit = max(int(q.credit), 0)
		left -= q.limit
	}
	slices.SortStableFunc(w.queues, func(a, b *share) int {
		switch {
		case a.busy != b.busy:
			return order(!a.busy, !b.busy)
		case a.credit != b.credit:
			return order(a.credit > b.credit, b.credit > a.credit)
		}
		return strings.Compare(a.queue, b.queue)
	})
	// What rounding left over goes to those with the most credit beyond their limit.
	for left > 0 && busy > 0 {
		var best *share
		for _, q := range w.queues {
			if q.busy && (best == nil || q.credit-float64(q.limit) > best.credit-float64(best.limit)) {
				best = q
			}
		}
		best.limit++
		left--
	}
	limits := make([]stem.QueueLimit, 0, len(w.queues))
	var rest []stem.QueueLimit
	for _, q := range w.queues {
		if q.limit > 0 {
			limits = append(limits, stem.QueueLimit{Queue: q.queue, Limit: q.limit})
			continue
		}
		q.limit = n
		rest = append(rest, stem.QueueLimit{Queue: q.queue, Limit: n})
	}
	return append(limits, rest...)
}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// took says what the claim of the last plan brought.
func (w *weights) took(ds []stem.Delivery) {
	counts := make(map[string]int, len(w.queues))
	for i := range ds {
		counts[ds[i].Receipt.Queue]++
	}
	for _, q := range w.queues {
		n := counts[q.queue]
		// Only a claim that came back short says that the queues it asked are empty.
		short := len(ds) < w.asked && q.limit > 0 && n < q.limit
		switch {
		case short:
			q.busy, q.credit = false, 0
		case !q.busy && n > 0:
			q.busy, q.credit = true, 0
		case q.busy:
			// A queue gains nothing by waiting for longer than one full plan.
			q.credit = min(max(q.credit-float64(n), -float64(w.asked)), float64(w.asked))
		}
	}
}
