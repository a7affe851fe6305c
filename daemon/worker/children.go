package worker

import (
	"fmt"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// children builds the messages of tasks that a handler enqueues: ids derived from the parent's unless the handler chose one, so that an attempt that is
// repeated publishes no second ones; this namespace, lineage, and the home queue of their name unless the handler chose one.
func (w *Worker) children(parent *attempt, tasks []plugin.NewTask) ([]stem.Message, error) {
	msgs := make([]stem.Message, len(tasks))
	for i := range tasks {
		h := tasks[i].Header
		if h.ID == "" {
			h.ID = stem.ChildID(parent.delivery.ID, tasks[i].Key)
		}
		lineage(&h, parent)
		spec, _ := w.declared.spec(h.Name)
		if home := w.homes.queueOf(h.Name); home != "" {
			spec.Queue = home
		}
		if h.Options.Queue == nil && spec.Queue != "" {
			h.Options.Queue = &spec.Queue
		}
		if h.Options.Priority == nil && spec.Priority != 0 {
			h.Options.Priority = &spec.Priority
		}
		m, err := stem.BuildMessage(w.cfg.Namespace, &h, tasks[i].Body)
		if err != nil {
			return nil, fmt.Errorf("enqueue %s: %w", h.Name, err)
		}
		msgs[i] = m
	}
	return msgs, nil
}

// lineage makes a task the child of its parent, unless the handler asked for none.
func lineage(h *stem.Header, parent *attempt) {
	if h.RootID == plugin.NoParent {
		h.ParentID, h.RootID, h.ParentAttempt = "", "", 0
		return
	}
	h.ParentID, h.ParentAttempt, h.RootID = parent.delivery.ID, parent.delivery.State.Attempt, parent.header.RootID
	if h.RootID == "" {
		h.RootID = parent.delivery.ID
	}
}
