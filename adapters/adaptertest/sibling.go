package adaptertest

import (
	"time"

	"github.com/stemd/stem"
)

func siblingCases() []testCase {
	cases := []testCase{
		{rule: "what one handle publishes another claims, settles and loads", run: func(r *rig) {
			r.add("a")
			here := r.store
			r.store = r.sibling()
			d := r.one()
			r.state("a", stem.Running)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
			r.store = here
			r.state("a", stem.Succeeded)
			r.isError(r.trySettle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
		}},
		{rule: "a claim is fenced across handles", run: func(r *rig) {
			r.add("a")
			stale := r.take(owner1)
			r.pass(r.lease)
			here := r.store
			r.store = r.sibling()
			fresh := r.take(owner2)
			r.store = here
			r.isError(r.trySettle(stem.Settlement{Receipt: stale.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
			r.settle(stem.Settlement{Receipt: fresh.Receipt, Kind: stem.Done})
		}},
		{rule: "record versions do not repeat across handles", run: func(r *rig) {
			put := stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "r"}}}
			stores := []stem.Store{r.store, r.sibling()}
			var last int64
			for i := range 6 {
				r.store = stores[i%2]
				v := r.save(put)
				if v <= last {
					r.Errorf("version is %d after %d", v, last)
				}
				last = v
				r.save(stem.RecordWrite{Record: put.Record, Op: stem.DeleteRecord})
			}
		}},
		{rule: "a publish through one handle wakes a claim that waits at another", live: true, run: func(r *rig) {
			here, there := r.store, r.sibling()
			r.store = there
			got := r.waiting(r.ask(1), time.Hour)
			r.store = here
			r.add("a")
			r.woken(got, "a")
		}},
		{rule: "a watch at one handle sees what another settles", live: true, run: func(r *rig) {
			r.add("a")
			ch := r.watch(r.ctx, "a")
			r.store = r.sibling()
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
			r.until(ch, stem.Succeeded)
			r.closed(ch)
		}},
		{rule: "two namespaces never see each other: tasks, results, records, dead letters", run: func(r *rig) {
			there := r.sibling(stem.Namespace("green"))
			r.add("a", "dead")
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Release})
			ds := r.claims("a", "dead")
			r.settle(stem.Settlement{Receipt: ds[1].Receipt, Kind: stem.Dead, Result: result(ds[1], stem.Failed)})
			ref := stem.RecordRef{Kind: "k", ID: "r"}
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}})
			here := r.store

			r.store = there
			r.pass(r.lease)
			r.claims()
			if s := r.status("a"); s != nil {
				r.Errorf("status is %+v", s)
			}
			if items := r.list(stem.StatusQuery{}); len(items) > 0 {
				r.Errorf("listed %v", statusIDs(items))
			}
			if rec := r.record(ref); rec != nil {
				r.Errorf("record is %+v", rec)
			}
			if recs := r.records(stem.RecordQuery{Kind: "k"}); len(recs) > 0 {
				r.Errorf("listed %v", recordIDs(recs))
			}
			if r.caps.Inspector {
				if n := len(r.letters(stem.DeadLetterQuery{})); n > 0 {
					r.Errorf("listed %d dead letters", n)
				}
				if queues, err := r.inspector().Queues(r.ctx); err != nil || len(queues) > 0 {
					r.Errorf("listed queues %+v, %v", queues, err)
				}
				if n, err := r.inspector().Purge(r.ctx, queue); err != nil || n > 0 {
					r.Errorf("purged %d, %v", n, err)
				}
			}
			if r.caps.Takeover {
				if n := r.release(owner1); n > 0 {
					r.Errorf("released %d", n)
				}
			}
			r.isError(r.trySettle(stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.CreateRecord})
			r.add("a")
			r.claims("a")

			r.store = here
			r.settle(stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Done})
		}},
		{rule: "what was accepted, kept and claimed is there after the handle is closed and another opened", run: func(r *rig) {
			r.put(r.msg("a"), r.msg("late", r.delayed(r.span), priority(2)), r.msg("held", priority(9)))
			held := r.one()
			v := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "r"}, Body: []byte("1")}})
			there := r.sibling()
			r.noError(r.store.Close())
			r.store = there
			r.settle(stem.Settlement{Receipt: held.Receipt, Kind: stem.Done, Result: result(held, stem.Succeeded)})
			r.state("held", stem.Succeeded)
			if rec := r.record(stem.RecordRef{Kind: "k", ID: "r"}); rec == nil || rec.Version != v {
				r.Errorf("record is %+v", rec)
			}
			r.pass(r.span)
			r.claims("late", "a")
		}},
	}
	return needing(sibling, cases)
}
