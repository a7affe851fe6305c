package adaptertest

import (
	"github.com/stemd/stem"
)

func lifeCases() []testCase {
	return []testCase{
		{rule: "the status of a task follows its life: queued, running, retried, running, succeeded", run: func(r *rig) {
			r.put(r.msg("a", priority(6)))
			s := r.state("a", stem.Queued)
			if s.ID != "a" || s.Name != task || s.Queue != queue || s.Priority != 6 || s.ParentID != "parent-of-a" || s.RootID != "root-of-a" {
				r.Errorf("status is %+v", s)
			}
			r.near("enqueued", s.EnqueuedAt, r.now())

			d := r.take(owner1)
			if s = r.state("a", stem.Running); s.Worker != "node-1" || s.Epoch != d.Receipt.Epoch || s.RootID != "root-of-a" {
				r.Errorf("status is %+v", s)
			}

			retried := result(d, stem.Retried)
			retried.Status.Attempt, retried.Status.Error = 1, &stem.TaskError{Class: stem.ClassError, Message: "not yet"}
			retried.Status.DueAt = r.now().Add(r.span)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Retry, At: r.now().Add(r.span), State: &stem.State{Attempt: 1}, Result: retried})
			if s = r.state("a", stem.Retried); s.Attempt != 1 || s.Error == nil || s.Error.Message != "not yet" {
				r.Errorf("status is %+v", s)
			}
			r.near("due", s.DueAt, r.now().Add(r.span))

			r.pass(r.span)
			d = r.one()
			r.state("a", stem.Running)
			done := result(d, stem.Succeeded)
			done.Status.Result = []byte("42")
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: done})
			if s = r.state("a", stem.Succeeded); string(s.Result) != "42" || s.Epoch != d.Receipt.Epoch {
				r.Errorf("status is %+v", s)
			}
		}},
		{rule: "a delayed task is queued and tells when it is due", run: func(r *rig) {
			m := r.msg("a", r.delayed(r.span))
			r.put(m)
			r.near("due", r.state("a", stem.Queued).DueAt, m.State.NotBefore)
		}},
		{rule: "a task given back before it started is queued again", run: func(r *rig) {
			for _, kind := range []stem.Kind{stem.Release, stem.Hold, stem.Move, stem.Park} {
				r.put(r.msg("a", generated))
				r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: kind, Queue: "other"})
				r.state("a", stem.Queued)
				for _, d := range r.claim(1, queue, "other", stem.ParkedPrefix+task) {
					r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
				}
			}
		}},
		{rule: "a moved task's status tells its new queue", run: func(r *rig) {
			r.add("a")
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Move, Queue: "other"})
			if s := r.status("a"); s == nil || s.Queue != "other" {
				r.Errorf("status is %+v", s)
			}
		}},
		{rule: "the terminal status of a past life is replaced by queued when the id is published again", run: func(r *rig) {
			r.put(r.msg("a", generated))
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
			r.state("a", stem.Succeeded)
			r.put(r.msg("a", generated))
			r.state("a", stem.Queued)
			d = r.one()
			r.state("a", stem.Running)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Failed)})
			r.state("a", stem.Failed)
		}},
		{rule: "the status of a past life does not come back when the next one ends without a result", run: func(r *rig) {
			r.put(r.msg("a", generated))
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
			r.put(r.msg("a", generated))
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done})
			if s := r.status("a"); s != nil && s.State.Terminal() {
				r.Errorf("status is %+v", s)
			}
		}},
		{rule: "a duplicate does not touch the status", run: func(r *rig) {
			r.add("a")
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
			r.duplicate(r.msg("a"))
			r.state("a", stem.Succeeded)
		}},
		{rule: "a settlement's result is saved under the epoch of its receipt, whatever it says itself", run: func(r *rig) {
			r.add("a")
			d := r.one()
			w := result(d, stem.Succeeded)
			w.Status.Epoch = 1
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: w})
			if s := r.state("a", stem.Succeeded); s.Epoch != d.Receipt.Epoch {
				r.Errorf("epoch is %d, want %d", s.Epoch, d.Receipt.Epoch)
			}
		}},
		{rule: "a result expires after the TTL of its settlement", run: func(r *rig) {
			r.add("a")
			d := r.one()
			w := result(d, stem.Succeeded)
			w.TTL = r.span
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: w})
			r.state("a", stem.Succeeded)
			r.pass(r.span)
			if s := r.status("a"); s != nil {
				r.Errorf("an expired result was loaded: %+v", s)
			}
		}},
		{rule: "a task that waits longer than the life of a result still has a status", needs: settable, run: func(r *rig) {
			r.put(r.msg("a", r.delayed(10*stem.DefaultResultTTL)), r.msg("b"))
			r.pass(2 * stem.DefaultResultTTL)
			r.state("a", stem.Queued)
			r.state("b", stem.Queued)
		}},
	}
}
