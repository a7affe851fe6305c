package worker

import (
	"context"

	"github.com/stemd/stem"
)

// WaitReady returns when every pool has announced its manifest, or with ctx's error.
func (w *Worker) WaitReady(ctx context.Context) error {
	for _, p := range w.pools {
		select {
		case <-p.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Heartbeat is what the heartbeat record says of this worker now.
func (w *Worker) Heartbeat() stem.Heartbeat { return w.heartbeat() }

// Announce writes the heartbeat and the manifests now.
func (w *Worker) Announce() { poke(w.beat) }

// mayBegin waits for Config.Begin; false: ctx ended first.
func (w *Worker) mayBegin(ctx context.Context) bool {
	if w.cfg.Begin == nil {
		return true
	}
	select {
	case <-w.cfg.Begin:
		return true
	case <-ctx.Done():
		return false
	}
}
