package adaptertest

import (
	"sync"

	"github.com/stemd/stem"
)

func dedupeCases() []testCase {
	return []testCase{
		{rule: "the id of a live task is a duplicate, whatever became of the task meanwhile, and changes nothing", run: func(r *rig) {
			r.put(r.msg("a", generated))
			again := r.msg("a", generated, in("other"), priority(9))
			r.duplicate(again)
			d := r.one()
			r.duplicate(again)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Retry, At: r.now().Add(r.span)})
			r.duplicate(again)
			if ds := r.claim(10, "other"); len(ds) > 0 {
				r.Errorf("the duplicate was published: %v", ids(ds))
			}
		}},
		{rule: "an id twice in one batch is accepted once", run: func(r *rig) {
			out := r.publish(r.msg("a"), r.msg("a"))
			if out[0].State != stem.Accepted || out[1].State != stem.Duplicate {
				r.Errorf("got %+v", out)
			}
			r.claims("a")
		}},
		{rule: "a generated id is free once its task ended", run: func(r *rig) {
			r.put(r.msg("a", generated))
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done})
			r.put(r.msg("a", generated))
			r.claims("a")
		}},
		{rule: "a chosen id is remembered after its end for the time set, then free", run: func(r *rig) {
			r.add("a")
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done})
			r.pass(r.dedupe / 2)
			r.duplicate(r.msg("a"))
			r.duplicate(r.msg("a", generated))
			r.pass(r.dedupe)
			r.add("a")
			r.claims("a")
		}},
		{rule: "a chosen id is remembered from the end of its task, not from its start", run: func(r *rig) {
			r.add("a")
			r.pass(2 * r.dedupe)
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done})
			r.duplicate(r.msg("a"))
		}},
		{rule: "a chosen id is remembered after its task died", run: func(r *rig) {
			r.add("a")
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Dead})
			r.duplicate(r.msg("a"))
		}},
		{rule: "a chosen id is remembered after its queue was purged", needs: inspector, run: func(r *rig) {
			r.add("a")
			if _, err := r.inspector().Purge(r.ctx, queue); err != nil {
				r.Fatal(err)
			}
			r.duplicate(r.msg("a"))
		}},
		{rule: "of concurrent publishers of one id one is accepted", run: func(r *rig) {
			const publishers = 8
			outcomes := make([]stem.PublishState, publishers)
			m := r.msg("a", generated)
			var wg sync.WaitGroup
			for i := range publishers {
				wg.Go(func() {
					out, err := r.store.Broker.Publish(r.ctx, m)
					if err != nil {
						r.Error(err)
						return
					}
					outcomes[i] = out[0].State
				})
			}
			wg.Wait()
			accepted := 0
			for _, o := range outcomes {
				if o == stem.Accepted {
					accepted++
				}
			}
			if accepted != 1 {
				r.Errorf("%d were accepted: %v", accepted, outcomes)
			}
			r.claims("a")
		}},
	}
}

// duplicate says that publishing m is answered as a duplicate.
func (r *rig) duplicate(m stem.Message) {
	r.Helper()
	if p := r.publish(m)[0]; p.State != stem.Duplicate || p.ID != m.ID {
		r.Fatalf("publishing %s gave %+v, want a duplicate", m.ID, p)
	}
}
