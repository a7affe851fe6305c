package redis

import "math"

// place is what Receipt.Position says of a claim that was the first of its task.
type place struct {
	claimed int64  // when, in microseconds; 0: the task has a state that is not short
	page    int64  // 0: the task is by itself
	claim   byte   // its number in the page
	index   byte   // the task's number in the page
	name    string // the task's name
}

// String is what splitPosition reads.
func (p place) String() string {
	b := make([]byte, 0, 8+8+2+len(p.name))
	b = append(number(number(b, p.claimed), p.page), p.claim, p.index)
	return string(append(b, p.name...))
}

// splitPosition takes a position apart; one that was not made here is no claim's.
func splitPosition(p string) place {
	if len(p) < 18 {
		return place{name: p}
	}
	return place{claimed: float(p), page: float(p[8:]), claim: p[16], index: p[17], name: p[18:]}
}

func float(s string) int64 { return int64(math.Float64frombits(order.Uint64([]byte(s[:8])))) }

// positions makes those of tasks that are by themselves. Neighbours mostly have the same, and share it.
type positions struct {
	place
	last string
}

func (p *positions) of(claimed int64, name string) string {
	if p.last == "" || p.claimed != claimed || p.name != name {
		p.place = place{claimed: claimed, name: name}
		p.last = p.String()
	}
	return p.last
}
