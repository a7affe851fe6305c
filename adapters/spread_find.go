package adapters

import (
	"context"
	"sync"

	"github.com/stemd/stem"
)

// hints remembers in which lane tasks were seen last. What it says is always checked. The zero value is empty.
type hints struct {
	mu    sync.Mutex
	lanes map[string]string
}

// maxHints bounds what hints remembers. When it is passed everything is forgotten.
const maxHints = 10_000

func (h *hints) set(id, lane string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lanes == nil || len(h.lanes) >= maxHints {
		h.lanes = map[string]string{}
	}
	h.lanes[id] = lane
}

func (h *hints) of(id string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lanes[id]
}

// seen is a task as its lane knows it.
type seen struct {
	lane   string
	status *stem.Status // nil: not known anywhere
}

func (s seen) live() bool { return s.status != nil && !s.status.State.Terminal() }

// better says whether s tells more of a task than o: that it lives, or the later of its ends.
func (s seen) better(o seen) bool {
	if s.status == nil || o.status == nil {
		return s.status != nil
	}
	if s.live() != o.live() {
		return s.live()
	}
	return s.status.Epoch > o.status.Epoch
}

// find looks for tasks where guess or a hint says, and in all lanes for those that do not live there. guess may be nil.
func (b *spreadBroker) find(ctx context.Context, ids []string, guess map[string]string) ([]seen, error) {
	out := make([]seen, len(ids))
	var likely byLane
	for i, id := range ids {
		name := guess[id]
		if name == "" {
			name = b.hints.of(id)
		}
		if name != "" {
			likely.add(name, i)
		}
	}
	if err := b.look(ctx, ids, &likely, out); err != nil {
		return nil, err
	}
	var rest []int
	for i := range out {
		if !out[i].live() {
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return out, nil
	}
	lanes, err := b.all(ctx)
	if err != nil {
		return nil, err
	}
	everywhere := byLane{at: map[string][]int{}}
	for _, l := range lanes {
		everywhere.names = append(everywhere.names, l.name)
		everywhere.at[l.name] = rest
	}
	return out, b.look(ctx, ids, &everywhere, out)
}

// look asks lanes for the tasks that they are to know and keeps the best answer.
func (b *spreadBroker) look(ctx context.Context, ids []string, where *byLane, out []seen) error {
	var mu sync.Mutex
	return b.inLanes(where, func(l *lane, at []int) error {
		part := make([]string, len(at))
		for n, i := range at {
			part[n] = ids[i]
		}
		statuses, err := l.results.Load(ctx, part...)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for n, i := range at {
			if s := (seen{l.name, statuses[n]}); s.better(out[i]) {
				out[i] = s
			}
		}
		return nil
	})
}

// spreadResults is what the lanes know of their tasks, for Compose; the rest is that of the whole.
type spreadResults struct {
	stem.Results
	b *spreadBroker
}

// Load implements stem.Results.
func (r *spreadResults) Load(ctx context.Context, ids ...string) ([]*stem.Status, error) {
	found, err := r.b.find(ctx, ids, nil)
	if err != nil {
		return nil, err
	}
	out := make([]*stem.Status, len(ids))
	for i, s := range found {
		out[i] = s.status
	}
	return out, nil
}

// Of gives the results of a queue's lane.
func (r *spreadResults) Of(queue string) (stem.Results, error) {
	l, err := r.b.lane(r.b.laneOf(queue))
	if err != nil {
		return nil, err
	}
	return l.results, nil
}
