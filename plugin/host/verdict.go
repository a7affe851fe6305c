package host

// verdict is what the death of a process says about its plugin.
type verdict int

const (
	// innocent: the process was to go, or was killed for what a task did.
	innocent verdict = iota
	// proved: something was done in the pool since the death before, or the process had lived long.
	proved
	// tasksDoing: a task that ran in it killed it, as far as anybody can tell, or one of several did.
	tasksDoing
	// unexplained: nothing ran in it that could have.
	unexplained
)

// tasksWeight is how many deaths by tasks, with nothing done between them, count as one unexplained death. Some deadly tasks in a row
// do not make a bad plugin, and what waits behind them should not wait for long; a plugin that dies of whatever it is given is
// stopped all the same, before it has used up the attempts of a whole queue.
const tasksWeight = 10

// judge takes a death in and returns for how many bad ends in a row the next start is held back; 0: not at all. After a death by a
// task that is not before the pool is to be quarantined.
func (h *health) judge(v verdict, r Restart) (held int) {
	was := h.barren
	switch v {
	case proved:
		h.prove()
		h.barren = 1
	case tasksDoing:
		if h.slain++; h.slain%tasksWeight == 0 {
			h.barren++
		}
		if h.barren >= r.Attempts {
			return was
		}
	case unexplained:
		h.barren++
		return was
	}
	return 0
}

// prove closes the record of deaths: the pool does something.
func (h *health) prove() { h.barren, h.slain = min(h.barren, 1), 0 }
