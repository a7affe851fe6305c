package worker

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// homes knows which pool runs a task and which queue it belongs to. It changes only when a plugin announces itself.
type homes struct {
	mu    sync.RWMutex
	alone bool // one pool only: it owns the default queue
	pools map[string]*lodging
	tasks map[string][]*lodging // by task name, by pool name
}

// lodging is what one pool is home to.
type lodging struct {
	pool   string
	queues map[string]int
	tasks  map[string]stem.TaskSpec // Queue is the home queue
}

func newHomes(pools []Pool) *homes {
	h := &homes{alone: len(pools) == 1, pools: map[string]*lodging{}, tasks: map[string][]*lodging{}}
	for _, p := range pools {
		h.pools[p.Name] = &lodging{pool: p.Name, queues: maps.Clone(p.Queues), tasks: map[string]stem.TaskSpec{}}
	}
	return h
}

// announce takes in a pool's manifest and returns the pool's queues with their weights.
//
// A pool without configured queues owns those its manifest names; if those are none, a pool that is alone owns the default
// queue, and one among several a queue of its own name, because the default queue must lead somewhere.
func (h *homes) announce(p Pool, m plugin.Manifest) map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := &lodging{pool: p.Name, queues: maps.Clone(p.Queues), tasks: map[string]stem.TaskSpec{}}
	if len(l.queues) == 0 {
		l.queues = map[string]int{}
		undeclared := len(m.Tasks) == 0
		for _, t := range m.Tasks {
			if q := cmp.Or(p.Policy.Tasks[t.Name].Queue, t.Queue); q != "" && h.owner(q, p.Name) == "" {
				l.queues[q] = 1
			} else {
				undeclared = true
			}
		}
		switch {
		case h.alone:
			l.queues[stem.DefaultQueue] = 1
		case undeclared:
			l.queues[p.Name] = 1
		}
	}
	for _, t := range m.Tasks {
		t.Queue = cmp.Or(p.Policy.Tasks[t.Name].Queue, t.Queue)
		if _, ours := l.queues[t.Queue]; !ours {
			t.Queue = l.first()
		}
		l.tasks[t.Name] = t
	}
	h.pools[p.Name] = l
	h.index()
	return maps.Clone(l.queues)
}

// first is the queue of a task that names none: the default queue if it is ours, else the one of most weight.
func (l *lodging) first() string {
	if _, ok := l.queues[stem.DefaultQueue]; ok {
		return stem.DefaultQueue
	}
	names := slices.Sorted(maps.Keys(l.queues))
	return slices.MaxFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(l.queues[a], l.queues[b]), cmp.Compare(b, a))
	})
}

func (h *homes) index() {
	h.tasks = map[string][]*lodging{}
	for _, name := range slices.Sorted(maps.Keys(h.pools)) {
		for task := range h.pools[name].tasks {
			h.tasks[task] = append(h.tasks[task], h.pools[name])
		}
	}
}

// owner is the pool other than except that owns a queue; empty: none.
func (h *homes) owner(queue, except string) string {
	for name, l := range h.pools {
		if _, ok := l.queues[queue]; ok && name != except {
			return name
		}
	}
	return ""
}

// find says how a task met by a pool is to be treated: its spec if the pool runs it, else the queue it must move to, else
// nothing. A nil pool runs none.
func (h *homes) find(pool, task string) (spec stem.TaskSpec, runs bool, moveTo string) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, l := range h.tasks[task] {
		if l.pool == pool {
			return l.tasks[task], true, ""
		}
	}
	if ls := h.tasks[task]; len(ls) > 0 {
		return stem.TaskSpec{}, false, ls[0].tasks[task].Queue
	}
	return stem.TaskSpec{}, false, ""
}

// queueOf is the home queue of a task; empty: nobody here runs it.
func (h *homes) queueOf(task string) string {
	_, _, queue := h.find("", task)
	return queue
}

// accepts says whether the owner of a queue runs a task.
func (h *homes) accepts(queue, task string) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, l := range h.tasks[task] {
		if _, ok := l.queues[queue]; ok {
			return true
		}
	}
	return false
}

// lanes are the parked lanes of all tasks known here.
func (h *homes) lanes() []stem.QueueLimit {
	h.mu.RLock()
	defer h.mu.RUnlock()
	lanes := make([]stem.QueueLimit, 0, len(h.tasks))
	for _, task := range slices.Sorted(maps.Keys(h.tasks)) {
		lanes = append(lanes, stem.QueueLimit{Queue: stem.ParkedPrefix + task})
	}
	return lanes
}

// of returns a pool's tasks, by name, and its queues.
func (h *homes) of(pool string) ([]stem.TaskSpec, []string) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	l := h.pools[pool]
	tasks := slices.SortedFunc(maps.Values(l.tasks), func(a, b stem.TaskSpec) int { return cmp.Compare(a.Name, b.Name) })
	return tasks, slices.Sorted(maps.Keys(l.queues))
}

// sorts says whether the default queue has no pool of its own and is emptied by moving.
func (h *homes) sorts() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.owner(stem.DefaultQueue, "") == ""
}
