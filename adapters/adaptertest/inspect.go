package adaptertest

import (
	"github.com/stemd/stem"
)

func inspectCases() []testCase {
	cases := []testCase{
		{rule: "the counts of a queue follow its tasks: pending, in flight, gone", run: func(r *rig) {
			r.add("a", "b")
			r.counts(queue, stem.QueueCounts{Ready: 2})
			d := r.one()
			r.counts(queue, stem.QueueCounts{Ready: 1, Running: 1})
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
			r.counts(queue, stem.QueueCounts{Ready: 1})
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Dead})
			r.counts(queue, stem.QueueCounts{Dead: 1})
		}},
		{rule: "a delayed, held or retried task is counted as delayed until it is due", run: func(r *rig) {
			r.put(r.msg("a", r.delayed(2*r.span)), r.msg("b"), r.msg("c"))
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Hold, At: r.now().Add(2 * r.span)})
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Retry, At: r.now().Add(2 * r.span)})
			r.counts(queue, stem.QueueCounts{Delayed: 3})
			r.pass(2 * r.span)
			r.counts(queue, stem.QueueCounts{Ready: 3})
		}},
		{rule: "a task whose lease expired is pending, not in flight", run: func(r *rig) {
			r.add("a")
			d := r.take(owner1)
			r.pass(r.lease)
			r.counts(queue, stem.QueueCounts{Ready: 1})
			r.extend(stem.Lease{Receipt: d.Receipt, For: 100 * r.lease})
			r.counts(queue, stem.QueueCounts{Running: 1})
		}},
		{rule: "queues are listed by name, parked lanes among them, empty ones not", run: func(r *rig) {
			r.put(r.msg("b", in("b")), r.msg("a", in("a")), r.msg("x", in("x")), r.msg("gone", in("gone")))
			r.settle(stem.Settlement{Receipt: r.one("x").Receipt, Kind: stem.Park})
			r.settle(stem.Settlement{Receipt: r.one("gone").Receipt, Kind: stem.Done})
			all, err := r.inspector().Queues(r.ctx)
			r.noError(err)
			var names []string
			for _, c := range all {
				names = append(names, c.Queue)
			}
			r.inOrder(names, "a", "b", stem.ParkedPrefix+task)
		}},
		{rule: "the age of the oldest pending task is told", needs: inspector, run: func(r *rig) {
			r.add("a")
			r.pass(r.span)
			r.add("b")
			r.pass(r.span)
			oldest := r.count(queue).Oldest
			r.near("oldest", r.now().Add(-oldest), r.now().Add(-2*r.span))
			if oldest < r.span {
				r.Errorf("oldest is %v", oldest)
			}
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done})
			if later := r.count(queue).Oldest; later >= oldest {
				r.Errorf("oldest is %v after the oldest of %v is gone", later, oldest)
			}
		}},
		{rule: "Purge deletes ready and delayed tasks, cancels their statuses and says how many", run: func(r *rig) {
			r.put(r.msg("run", priority(1)), r.msg("ready"), r.msg("late", r.delayed(r.span)), r.msg("other", in("other")))
			d := r.one()
			n, err := r.inspector().Purge(r.ctx, queue)
			r.noError(err)
			if n != 2 {
				r.Errorf("purged %d, want 2", n)
			}
			for _, id := range []string{"ready", "late"} {
				if s := r.state(id, stem.Cancelled); s.Name != task || s.Queue != queue {
					r.Errorf("status is %+v", s)
				}
			}
			r.state("run", stem.Running)
			r.state("other", stem.Queued)
			r.pass(r.span)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Release})
			r.claims("run")
			r.inOrder(ids(r.claim(10, "other")), "other")
		}},
		{rule: "Purge leaves dead letters", run: func(r *rig) {
			r.die("a")
			r.add("b")
			n, err := r.inspector().Purge(r.ctx, queue)
			r.noError(err)
			if n != 1 {
				r.Errorf("purged %d, want 1", n)
			}
			r.counts(queue, stem.QueueCounts{Dead: 1})
		}},
		{rule: "purging an unknown queue deletes nothing", run: func(r *rig) {
			n, err := r.inspector().Purge(r.ctx, "unknown")
			r.noError(err)
			if n != 0 {
				r.Errorf("purged %d", n)
			}
		}},
	}
	return needing(inspector, cases)
}

// count is the counts of a queue, zero when it is not listed.
func (r *rig) count(queue string) stem.QueueCounts {
	r.Helper()
	all, err := r.inspector().Queues(r.ctx)
	r.noError(err)
	for _, c := range all {
		if c.Queue == queue {
			return c
		}
	}
	return stem.QueueCounts{Queue: queue}
}

// counts says what a queue must hold; the age of its oldest task is left open.
func (r *rig) counts(queue string, want stem.QueueCounts) {
	r.Helper()
	got := r.count(queue)
	got.Oldest, want.Queue = 0, queue
	if got != want {
		r.Fatalf("counts are %+v, want %+v", got, want)
	}
}
