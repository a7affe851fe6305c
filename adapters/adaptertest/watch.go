package adaptertest

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

func watchCases() []testCase {
	return []testCase{
		{rule: "a watch starts with the present status", live: true, run: func(r *rig) {
			r.add("a")
			if s := r.next(r.watch(r.ctx, "a")); s == nil || s.State != stem.Queued {
				r.Errorf("saw %+v", s)
			}
		}},
		{rule: "a watch of a task that ended gives its status and is closed", live: true, run: func(r *rig) {
			r.finish("a")
			ch := r.watch(r.ctx, "a")
			if s := r.next(ch); s == nil || s.State != stem.Succeeded {
				r.Errorf("saw %+v", s)
			}
			r.closed(ch)
		}},
		{rule: "a watch sees the task run and end, in this order, and is closed", live: true, run: func(r *rig) {
			r.add("a")
			ch := r.watch(r.ctx, "a")
			d := r.one()
			r.until(ch, stem.Running)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
			if s := r.until(ch, stem.Succeeded); s.ID != "a" {
				r.Errorf("saw %+v", s)
			}
			r.closed(ch)
		}},
		{rule: "a watch sees statuses saved without a settlement", live: true, run: func(r *rig) {
			ch := r.watch(r.ctx, "a")
			s := stem.Status{ID: "a", Name: task, Queue: queue, State: stem.Running, Epoch: 1}
			r.noError(r.store.Results.Save(r.ctx, stem.StatusWrite{Status: s}))
			r.until(ch, stem.Running)
			s.State = stem.Cancelled
			r.noError(r.store.Results.Save(r.ctx, stem.StatusWrite{Status: s}))
			r.until(ch, stem.Cancelled)
			r.closed(ch)
		}},
		{rule: "a watch of an unknown task waits until it is known", live: true, run: func(r *rig) {
			ch := r.watch(r.ctx, "a")
			r.add("a")
			r.until(ch, stem.Queued)
		}},
		{rule: "every watch of a task sees its end, read or not", live: true, run: func(r *rig) {
			r.add("a")
			first, second := r.watch(r.ctx, "a"), r.watch(r.ctx, "a")
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Failed)})
			r.until(first, stem.Failed)
			r.until(second, stem.Failed)
		}},
		{rule: "a watch is closed when its context ends", live: true, run: func(r *rig) {
			r.add("a")
			ctx, cancel := context.WithCancel(r.ctx)
			ch := r.watch(ctx, "a")
			r.until(ch, stem.Queued)
			cancel()
			r.closed(ch)
		}},
	}
}

// finish publishes, claims and settles a task.
func (r *rig) finish(id string) {
	r.Helper()
	r.put(r.msg(id, generated))
	d := r.one()
	r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
}

func (r *rig) watch(ctx context.Context, id string) <-chan stem.Status {
	r.Helper()
	ch, err := r.store.Results.Watch(ctx, id)
	r.noError(err)
	return ch
}

// next is the next status, nil when the watch was closed.
func (r *rig) next(ch <-chan stem.Status) *stem.Status {
	r.Helper()
	select {
	case s, ok := <-ch:
		if !ok {
			return nil
		}
		return &s
	case <-time.After(patience):
		r.Fatal("the watch delivered nothing")
		return nil
	}
}

// until reads statuses up to one of that state.
func (r *rig) until(ch <-chan stem.Status, want stem.TaskState) stem.Status {
	r.Helper()
	for {
		s := r.next(ch)
		if s == nil {
			r.Fatalf("the watch was closed before %s", want)
		}
		if s.State == want {
			return *s
		}
		if s.State.Terminal() {
			r.Fatalf("the watch delivered %s before %s", s.State, want)
		}
	}
}

// closed reads to the end of a watch.
func (r *rig) closed(ch <-chan stem.Status) {
	r.Helper()
	for r.next(ch) != nil {
	}
}
