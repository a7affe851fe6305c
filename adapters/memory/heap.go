package memory

// heap is a binary heap whose items know where they are, so that any of them can be taken out. An item is in at most one heap
// that keeps its place in the same field.
type heap[T any] struct {
	items []T
	less  func(a, b T) bool
	at    func(T) *int // the field of an item that keeps its place
}

func (h *heap[T]) len() int { return len(h.items) }

// top is the least item; the heap must not be empty.
func (h *heap[T]) top() T { return h.items[0] }

func (h *heap[T]) push(x T) {
	h.items = append(h.items, x)
	h.up(len(h.items) - 1)
}

func (h *heap[T]) pop() T {
	x := h.items[0]
	h.remove(x)
	return x
}

// remove takes x out, which must be in.
func (h *heap[T]) remove(x T) {
	i, last := *h.at(x), len(h.items)-1
	moved := h.items[last]
	var none T
	h.items[last] = none
	h.items = h.items[:last]
	if i == last {
		return
	}
	h.items[i] = moved
	*h.at(moved) = i
	if !h.down(i) {
		h.up(i)
	}
}

// prefix calls f for every item that satisfies within, in no order. Whatever is less than such an item must satisfy it too.
func (h *heap[T]) prefix(within func(T) bool, f func(T)) {
	var walk func(i int)
	walk = func(i int) {
		if i < len(h.items) && within(h.items[i]) {
			f(h.items[i])
			walk(2*i + 1)
			walk(2*i + 2)
		}
	}
	walk(0)
}

func (h *heap[T]) up(i int) {
	x := h.items[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(x, h.items[parent]) {
			break
		}
		h.items[i] = h.items[parent]
		*h.at(h.items[i]) = i
		i = parent
	}
	h.items[i] = x
	*h.at(x) = i
}

func (h *heap[T]) down(i int) bool {
	x, start, n := h.items[i], i, len(h.items)
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if right := child + 1; right < n && h.less(h.items[right], h.items[child]) {
			child = right
		}
		if !h.less(h.items[child], x) {
			break
		}
		h.items[i] = h.items[child]
		*h.at(h.items[i]) = i
		i = child
	}
	h.items[i] = x
	*h.at(x) = i
	return i > start
}
