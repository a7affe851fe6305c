package adaptertest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/stemd/stem"
)

func orderCases() []testCase {
	return []testCase{
		{rule: "within a queue the higher priority goes first", run: func(r *rig) {
			r.put(r.msg("p0"), r.msg("p1", priority(1)), r.msg("p9", priority(9)), r.msg("p5", priority(5)))
			r.claims("p9", "p5", "p1", "p0")
		}},
		{rule: "a later task of higher priority goes before all waiting ones", run: func(r *rig) {
			r.add("a", "b")
			r.inOrder(ids(r.claim(1)), "a")
			r.put(r.msg("p9", priority(9)))
			r.claims("p9", "b")
		}},
		{rule: "within a priority the order is that of arrival", run: func(r *rig) {
			var want, got []string
			for batch := range 20 {
				var msgs []stem.Message
				for i := range 15 {
					m := r.msg(fmt.Sprintf("t%02d-%02d", batch, 14-i), priority(3))
					msgs, want = append(msgs, m), append(want, m.ID)
				}
				r.put(msgs...)
			}
			for len(got) < len(want) {
				ds := r.claim(7)
				if len(ds) == 0 {
					break
				}
				got = append(got, ids(ds)...)
			}
			r.inOrder(got, want...)
		}},
		{rule: "queues are claimed in the order given, not by priority", run: func(r *rig) {
			r.put(r.msg("b9", in("b"), priority(9)), r.msg("a0", in("a")), r.msg("c5", in("c"), priority(5)))
			r.inOrder(ids(r.claim(10, "c", "a", "b")), "c5", "a0", "b9")
		}},
		{rule: "a claimer gets nothing of queues it did not name", run: func(r *rig) {
			r.put(r.msg("a", in("a")), r.msg("a2", in("a:b")))
			r.inOrder(ids(r.claim(10, "b", "a:")))
		}},
		{rule: "a queue's limit bounds what is taken from it and Max the total", run: func(r *rig) {
			for i := range 4 {
				r.put(r.msg(fmt.Sprintf("a%d", i), in("a")), r.msg(fmt.Sprintf("b%d", i), in("b")))
			}
			c := r.ask(5)
			c.Queues = []stem.QueueLimit{{Queue: "a", Limit: 2}, {Queue: "b"}}
			r.inOrder(ids(r.claimWith(c)), "a0", "a1", "b0", "b1", "b2")
			c.Max = 1
			r.inOrder(ids(r.claimWith(c)), "a2")
		}},
		{rule: "Max of zero or less claims nothing", run: func(r *rig) {
			r.add("a")
			for _, n := range []int{0, -1} {
				r.inOrder(ids(r.claim(n)))
			}
			r.claims("a")
		}},
		{rule: "an empty queue gives none, without error", run: func(r *rig) { r.claims() }},
		{rule: "a claim without an owner is refused", run: func(r *rig) {
			r.add("a")
			c := r.ask(1)
			c.Owner = ""
			if ds, err := r.store.Broker.Claim(r.ctx, c); err == nil {
				r.Errorf("claimed %v for nobody", ids(ds))
			}
		}},
		{rule: "concurrent claimers share the tasks and each sees them in order", run: func(r *rig) {
			const tasks, claimers = 400, 8
			var msgs []stem.Message
			for i := range tasks {
				msgs = append(msgs, r.msg(fmt.Sprintf("t%03d", i)))
			}
			r.put(msgs...)
			got := make([][]string, claimers)
			var wg sync.WaitGroup
			for i := range claimers {
				wg.Go(func() {
					c := r.ask(3)
					c.Owner = fmt.Sprintf("node-%d/boot", i)
					for {
						ds, err := r.store.Broker.Claim(r.ctx, c)
						if err != nil {
							r.Error(err)
							return
						}
						if len(ds) == 0 {
							return
						}
						got[i] = append(got[i], ids(ds)...)
					}
				})
			}
			wg.Wait()
			var all []string
			for i, mine := range got {
				if !slices.IsSorted(mine) {
					r.Errorf("claimer %d got %v", i, mine)
				}
				all = append(all, mine...)
			}
			slices.Sort(all)
			if len(all) != tasks || len(slices.Compact(all)) != tasks {
				r.Errorf("%d claims of %d tasks", len(all), tasks)
			}
		}},
	}
}
