package host

// verdict is what the death of a process says about its plugin.
type verdict int

const (
	// innocent: the process was to go, or was killed for what a task did, or it is yet to be found out which task killed it.
	innocent verdict = iota
	// proved: something was done in the pool since the death before, or the process had lived long.
	proved
	// tasksDoing: a task that ran in it killed it, as far as anybody can tell.
	tasksDoing
	// unexplained: nothing ran in it that could have.
	unexplained
)

// tasksWeight is how many different tasks that kill their processes, with nothing done between them, count as one unexplained death.
// Some deadly tasks in a row do not make a bad plugin, and what waits behind them should not wait for long, however often each of them
// is tried again; a plugin that dies of whatever it is given is stopped all the same, before it has used up a whole queue.
const tasksWeight = 10

// judge takes a death in, with the ids of the tasks whose doing it was, and returns for how many bad ends in a row the next start is
// held back; 0: not at all. After a death by a task that is not before the pool is to be quarantined.
func (h *health) judge(v verdict, ids []string, r Restart) (held int) {
	was := h.deaths()
	switch v {
	case proved:
		h.prove()
		h.barren = 1
	case tasksDoing:
		if h.deadly == nil {
			h.deadly = map[string]struct{}{}
		}
		for _, id := range ids {
			if len(h.deadly) < tasksWeight*r.Attempts {
				h.deadly[id] = struct{}{}
			}
		}
		if h.ailing(r) {
			return was
		}
	case unexplained:
		h.barren++
		return was
	}
	return 0
}

// deaths are those in a row between which nothing was done, those by tasks at their weight.
func (h *health) deaths() int { return h.barren + len(h.deadly)/tasksWeight }

// prove closes the record of deaths: the pool does something.
func (h *health) prove() {
	h.barren = min(h.barren, 1)
	clear(h.deadly)
}
