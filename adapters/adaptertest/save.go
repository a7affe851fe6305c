package adaptertest

import (
	"github.com/stemd/stem"
)

func saveCases() []testCase {
	ref := stem.RecordRef{Kind: "k", Part: "p", ID: "r"}
	other := stem.RecordRef{Kind: "k", Part: "p", ID: "other"}
	return []testCase{
		{rule: "the records of a settlement are written with it", run: func(r *rig) {
			v := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte("1")}})
			r.add("a")
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done, Save: []stem.RecordWrite{
				{Record: stem.Record{RecordRef: ref, Body: []byte("2")}, Op: stem.ReplaceRecord, IfVersion: v},
				{Record: stem.Record{RecordRef: other, Body: []byte("3")}, Op: stem.CreateRecord},
			}})
			if got := r.record(ref); got == nil || string(got.Body) != "2" || got.Version <= v {
				r.Errorf("record is %+v", got)
			}
			if got := r.record(other); got == nil || string(got.Body) != "3" {
				r.Errorf("record is %+v", got)
			}
		}},
		{rule: "a conflict in Save refuses the whole settlement: no record, result, follow-up or acknowledgement", run: func(r *rig) {
			v := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte("1")}})
			r.add("a")
			d := r.one()
			for _, conflict := range []stem.RecordWrite{
				{Record: stem.Record{RecordRef: ref, Body: []byte("2")}, Op: stem.ReplaceRecord, IfVersion: v - 1},
				{Record: stem.Record{RecordRef: ref, Body: []byte("2")}, Op: stem.CreateRecord},
				{Record: stem.Record{RecordRef: ref}, Op: stem.DeleteRecord, IfVersion: v - 1},
			} {
				err := r.trySettle(stem.Settlement{
					Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Failed), Then: []stem.Message{r.msg("follow-up")},
					Save: []stem.RecordWrite{{Record: stem.Record{RecordRef: other}}, conflict},
				})
				r.isError(err, stem.ErrConflict)
			}
			if got := r.record(ref); got == nil || got.Version != v || string(got.Body) != "1" {
				r.Errorf("record is %+v", got)
			}
			if got := r.record(other); got != nil {
				r.Errorf("a record of the refused settlement was written: %+v", got)
			}
			r.state("a", stem.Running)
			r.claims()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
			r.state("a", stem.Succeeded)
		}},
		{rule: "a refused settlement does not hold back the others of its batch", run: func(r *rig) {
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}})
			r.add("a", "b", "c")
			ds := r.claims("a", "b", "c")
			create := []stem.RecordWrite{{Record: stem.Record{RecordRef: ref}, Op: stem.CreateRecord}}
			errs, err := r.store.Broker.Settle(r.ctx,
				stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Done}, stem.Settlement{Receipt: ds[1].Receipt, Kind: stem.Done, Save: create},
				stem.Settlement{Receipt: ds[2].Receipt, Kind: stem.Release})
			r.noError(err)
			if errs[0] != nil || errs[2] != nil {
				r.Errorf("errors are %v", errs)
			}
			r.isError(errs[1], stem.ErrConflict)
			r.claims("c")
		}},
		{rule: "a second settlement of a claim in the same batch is stale and changes nothing", run: func(r *rig) {
			r.add("a")
			d := r.one()
			again := stem.Settlement{
				Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Failed), Then: []stem.Message{r.msg("follow-up")},
				Save: []stem.RecordWrite{{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "r"}}}},
			}
			errs, err := r.store.Broker.Settle(r.ctx, stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)}, again)
			r.noError(err)
			r.noError(errs[0])
			r.isError(errs[1], stem.ErrLeaseLost)
			r.state("a", stem.Succeeded)
			r.claims()
			if rec := r.record(stem.RecordRef{Kind: "k", ID: "r"}); rec != nil {
				r.Errorf("record is %+v", rec)
			}
		}},
		{rule: "of two settlements that replace one version, in one batch, the second conflicts", run: func(r *rig) {
			v := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}})
			r.add("a", "b")
			ds := r.claims("a", "b")
			replace := func(body string) []stem.RecordWrite {
				return []stem.RecordWrite{{Record: stem.Record{RecordRef: ref, Body: []byte(body)}, Op: stem.ReplaceRecord, IfVersion: v}}
			}
			errs, err := r.store.Broker.Settle(r.ctx,
				stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Done, Save: replace("a")},
				stem.Settlement{Receipt: ds[1].Receipt, Kind: stem.Done, Save: replace("b")})
			r.noError(err)
			if errs[0] != nil {
				r.Errorf("the first failed: %v", errs[0])
			}
			r.isError(errs[1], stem.ErrConflict)
			if got := r.record(ref); string(got.Body) != "a" {
				r.Errorf("record is %+v", got)
			}
		}},
		{rule: "follow-ups are published with the settlement, on every kind that ends a claim", run: func(r *rig) {
			for _, kind := range []stem.Kind{stem.Done, stem.Dead, stem.Retry} {
				r.put(r.msg("a", generated))
				d := r.one()
				r.settle(stem.Settlement{Receipt: d.Receipt, Kind: kind, At: r.now().Add(100 * r.span), Then: []stem.Message{r.msg("then", generated, in("next")), r.msg("late", generated, in("next"), r.delayed(100*r.span))}})
				then := r.one("next")
				r.inOrder([]string{then.ID}, "then")
				r.state("late", stem.Queued)
				r.settle(stem.Settlement{Receipt: then.Receipt, Kind: stem.Done})
			}
		}},
		{rule: "a follow-up whose id is known is no error and is not published again", run: func(r *rig) {
			r.put(r.msg("a"), r.msg("then", in("next")))
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done, Then: []stem.Message{r.msg("then", in("next")), r.msg("then", in("next"))}})
			r.inOrder(ids(r.claim(10, "next")), "then")
		}},
	}
}
