package redis

// merger gives the items of several ordered lists in one order. Each list is read piece by piece.
type merger[T any] struct {
	lists  [][]T
	ended  []bool
	before func(a, b T) bool
	// fill reads the next piece of these lists, which may be empty though the list goes on, and says of each whether it has ended.
	fill func(which []int) error
	// missing is why there are lists that end too early, if fill says so.
	missing error
}

func newMerger[T any](n int, before func(a, b T) bool) *merger[T] {
	return &merger[T]{lists: make([][]T, n), ended: make([]bool, n), before: before}
}

// next is the first item that was not given yet; false: there is none.
func (m *merger[T]) next() (item T, ok bool, err error) {
	for {
		var empty []int
		for i := range m.lists {
			if len(m.lists[i]) == 0 && !m.ended[i] {
				empty = append(empty, i)
			}
		}
		if len(empty) == 0 {
			break
		}
		if err := m.fill(empty); err != nil {
			return item, false, err
		}
	}
	first := -1
	for i, l := range m.lists {
		if len(l) > 0 && (first < 0 || m.before(l[0], m.lists[first][0])) {
			first = i
		}
	}
	if first < 0 {
		return item, false, nil
	}
	item = m.lists[first][0]
	m.lists[first] = m.lists[first][1:]
	return item, true, nil
}
