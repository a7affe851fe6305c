package worker

import (
	"context"
	"fmt"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// Enqueue implements plugin.Sink: children of a running attempt are published now. Their ids are derived from the parent's, so
// an attempt that is repeated publishes no second ones.
func (p *pool) Enqueue(ctx context.Context, a plugin.Attempt, tasks []plugin.NewTask) ([]string, error) {
	w := p.w
	t := w.table.open(&a)
	if t == nil {
		return nil, errClosed
	}
	if r := w.revocations.of(t); r != nil && r.Terminate {
		return nil, revokedError(r)
	}
	msgs, err := w.children(t, tasks)
	if err != nil {
		return nil, err
	}
	published, err := w.store.Broker.Publish(ctx, msgs...)
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	ids := make([]string, len(published))
	for i, one := range published {
		if one.State == stem.Rejected {
			return nil, fmt.Errorf("enqueue %s: %w", msgs[i].Name, one.Err)
		}
		ids[i] = one.ID
	}
	return ids, nil
}

// children builds the messages of tasks that a handler enqueues: derived ids, this namespace, lineage, and the home queue of
// their name unless the handler chose one.
func (w *Worker) children(parent *task, tasks []plugin.NewTask) ([]stem.Message, error) {
	d := w.directory.Load()
	msgs := make([]stem.Message, len(tasks))
	for i := range tasks {
		h := tasks[i].Header
		h.ID = stem.ChildID(parent.delivery.ID, tasks[i].Key)
		lineage(&h, parent)
		var declared stem.TaskSpec
		if known := d.names[h.Name]; len(known) > 0 {
			declared = known[0].spec
			declared.Queue = d.elsewhere(h.Name, h.Options.Queue)
		} else if spec, ok := w.declared.spec(h.Name); ok {
			declared = spec
		}
		if h.Options.Queue == nil && declared.Queue != "" {
			h.Options.Queue = &declared.Queue
		}
		if h.Options.Priority == nil && declared.Priority != 0 {
			h.Options.Priority = &declared.Priority
		}
		m, err := stem.BuildMessage(w.cfg.Namespace, &h, tasks[i].Body)
		if err != nil {
			return nil, fmt.Errorf("enqueue %s: %w", h.Name, err)
		}
		msgs[i] = m
	}
	return msgs, nil
}

// noParent is what a handler's AddToParent(false) leaves in the header's ParentID: no lineage is wanted.
const noParent = "-"

func lineage(h *stem.Header, parent *task) {
	if h.ParentID == noParent {
		h.ParentID, h.RootID, h.ParentAttempt = "", "", 0
		return
	}
	h.ParentID, h.ParentAttempt, h.RootID = parent.delivery.ID, parent.delivery.State.Attempt, parent.header.RootID
	if h.RootID == "" {
		h.RootID = parent.delivery.ID
	}
}
