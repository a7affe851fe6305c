package redis

import "math"

// position makes Receipt.Position: when a task with a short state was claimed (0: its state is another) and the task's name. Neighbours
// mostly have the same, and share it.
type position struct {
	claimed    int64
	name, last string
}

func (p *position) of(claimed int64, name string) string {
	if p.last == "" || p.claimed != claimed || p.name != name {
		p.claimed, p.name, p.last = claimed, name, string(append(number(nil, claimed), name...))
	}
	return p.last
}

// splitPosition takes a position apart; one that was not made here is no claim's.
func splitPosition(p string) (claimed int64, name string) {
	if len(p) < 8 {
		return 0, p
	}
	return int64(math.Float64frombits(order.Uint64([]byte(p[:8])))), p[8:]
}
