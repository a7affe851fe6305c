package adaptertest

import (
	"time"

	"github.com/stemd/stem"
)

func epochCases() []testCase {
	return []testCase{
		{rule: "the epoch rises with every claim of a task, over retry, hold, release, move, park and expiry", run: func(r *rig) {
			r.add("a")
			var last stem.Epoch
			lane := queue
			for _, s := range []stem.Settlement{
				{Kind: stem.Retry}, {Kind: stem.Hold}, {Kind: stem.Release}, {Kind: stem.Move, Queue: "other"}, {Kind: stem.Park}, {Kind: stem.Done},
			} {
				d := r.one(lane)
				if d.Receipt.Epoch <= last || d.State.Epoch != d.Receipt.Epoch {
					r.Errorf("epoch is %d in the receipt and %d in the state, after %d", d.Receipt.Epoch, d.State.Epoch, last)
				}
				last, s.Receipt = d.Receipt.Epoch, d.Receipt
				r.settle(s)
				switch s.Kind {
				case stem.Move:
					lane = "other"
				case stem.Park:
					lane = stem.ParkedPrefix + task
				}
			}
			r.put(r.msg("b"))
			first := r.take(owner1)
			r.pass(r.lease)
			if second := r.take(owner1); second.Receipt.Epoch <= first.Receipt.Epoch {
				r.Errorf("epoch is %d after %d", second.Receipt.Epoch, first.Receipt.Epoch)
			}
		}},
		{rule: "a stale settlement changes nothing: no acknowledgement, result, record or follow-up", run: func(r *rig) {
			r.add("a")
			stale := r.take(owner1)
			r.pass(r.lease)
			fresh := r.one()
			for _, kind := range []stem.Kind{stem.Done, stem.Retry, stem.Hold, stem.Release, stem.Park, stem.Move, stem.Dead, stem.AckEarly} {
				err := r.trySettle(stem.Settlement{
					Receipt: stale.Receipt, Kind: kind, Queue: "other", Reason: "stale",
					Result: result(stale, stem.Succeeded), Then: []stem.Message{r.msg("follow-up")},
					Save: []stem.RecordWrite{{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "r"}}}},
				})
				r.isError(err, stem.ErrLeaseLost)
			}
			r.state("a", stem.Running)
			if recs, err := r.store.Records.Load(r.ctx, stem.RecordRef{Kind: "k", ID: "r"}); err != nil || recs[0] != nil {
				r.Errorf("the record was written: %+v, %v", recs[0], err)
			}
			r.inOrder(ids(r.claim(10, queue, "other", stem.ParkedPrefix+task)))
			r.settle(stem.Settlement{Receipt: fresh.Receipt, Kind: stem.Done, Result: result(fresh, stem.Succeeded)})
			r.state("a", stem.Succeeded)
		}},
		{rule: "an owner's own earlier claim is stale after another owner had the task in between", run: func(r *rig) {
			r.add("a")
			first := r.take(owner1)
			r.pass(r.lease)
			r.take(owner2)
			r.pass(r.lease)
			third := r.take(owner1)
			r.isError(r.trySettle(stem.Settlement{Receipt: first.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
			r.settle(stem.Settlement{Receipt: third.Receipt, Kind: stem.Done})
		}},
		{rule: "an owner's own earlier claim is stale after its lease expired", run: func(r *rig) {
			r.add("a")
			first := r.take(owner1)
			r.pass(r.lease)
			r.take(owner1)
			r.isError(r.trySettle(stem.Settlement{Receipt: first.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
		}},
		{rule: "a claim ends once", run: func(r *rig) {
			for _, kind := range []stem.Kind{stem.Done, stem.Retry, stem.Hold, stem.Release, stem.Park, stem.Move, stem.Dead} {
				r.put(r.msg("a", generated))
				d := r.one()
				r.settle(stem.Settlement{Receipt: d.Receipt, Kind: kind, Queue: "other"})
				r.isError(r.trySettle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
				for _, left := range r.claim(10, queue, "other", stem.ParkedPrefix+task) {
					r.settle(stem.Settlement{Receipt: left.Receipt, Kind: stem.Done})
				}
			}
		}},
		{rule: "another owner can not settle with the right epoch", run: func(r *rig) {
			r.add("a")
			rc := r.one().Receipt
			rc.Owner = owner2
			r.isError(r.trySettle(stem.Settlement{Receipt: rc, Kind: stem.Done}), stem.ErrLeaseLost)
		}},
		{rule: "settlements of one batch succeed and fail each for itself, in the order given", run: func(r *rig) {
			r.add("a", "b", "c")
			ds := r.claims("a", "b", "c")
			stale := ds[1].Receipt
			stale.Epoch--
			errs, err := r.store.Broker.Settle(r.ctx,
				stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Done}, stem.Settlement{Receipt: stale, Kind: stem.Done},
				stem.Settlement{Receipt: ds[2].Receipt, Kind: stem.Release}, stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Done})
			r.noError(err)
			if len(errs) != 4 || errs[0] != nil || errs[2] != nil {
				r.Fatalf("errors are %v", errs)
			}
			r.isError(errs[1], stem.ErrLeaseLost)
			r.isError(errs[3], stem.ErrLeaseLost)
			r.claims("c")
		}},
		{rule: "the epoch rises over the end and the next life of an id, also when nothing was kept of the first", run: func(r *rig) {
			r.reuse(func() {})
		}},
		{rule: "the epoch rises over lives also when the store's clock goes back", needs: settable, run: func(r *rig) {
			r.reuse(func() { r.pass(-time.Hour) })
		}},
		{rule: "the epoch rises over claims also when the store's clock goes back", needs: settable, run: func(r *rig) {
			r.add("a")
			first := r.one()
			r.settle(stem.Settlement{Receipt: first.Receipt, Kind: stem.Release})
			r.pass(-time.Hour)
			if second := r.one(); second.Receipt.Epoch <= first.Receipt.Epoch {
				r.Errorf("epoch is %d after %d", second.Receipt.Epoch, first.Receipt.Epoch)
			}
		}},
	}
}

// reuse claims three lives of one id and compares their epochs.
func (r *rig) reuse(between func()) {
	r.Helper()
	var last stem.Epoch
	for range 3 {
		r.put(r.msg("a", generated))
		d := r.one()
		if d.Receipt.Epoch <= last {
			r.Errorf("epoch is %d after %d", d.Receipt.Epoch, last)
		}
		last = d.Receipt.Epoch
		r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
		between()
	}
}
