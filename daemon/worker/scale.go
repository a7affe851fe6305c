package worker

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

// scaler is a Runner that may change its size by what waits for it.
type scaler interface {
	Scales() bool
	Backlog(depth int) // negative: not known
}

// backlogLoop tells the pools that change their size how many tasks are ready in their queues.
func (w *Worker) backlogLoop(ctx context.Context) {
	scalers := map[*pool]scaler{}
	for _, p := range w.pools {
		if s, ok := p.runner.(scaler); ok && s.Scales() {
			scalers[p] = s
		}
	}
	inspector, ok := w.store.Broker.(stem.Inspector)
	if len(scalers) == 0 || !ok {
		return
	}
	for pause(ctx, w.cfg.ScaleTick, nil) {
		ready, err := backlogs(ctx, inspector)
		for p, s := range scalers {
			depth := 0
			_, queues := w.homes.of(p.Name)
			for _, queue := range queues {
				depth += ready[queue]
			}
			if err != nil && depth == 0 { // the outage is told by claims; where only a part is away the others count
				depth = -1
			}
			s.Backlog(depth)
		}
	}
}

// backlogs counts the ready tasks of each queue.
func backlogs(ctx context.Context, inspector stem.Inspector) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, backlogWithin)
	defer cancel()
	queues, err := inspector.Queues(ctx)
	ready := make(map[string]int, len(queues))
	for _, q := range queues {
		ready[q.Queue] = q.Ready
	}
	return ready, err
}

// backlogWithin bounds one count.
const backlogWithin = 10 * time.Second
