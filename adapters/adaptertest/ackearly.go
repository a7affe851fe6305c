package adaptertest

import (
	"errors"

	"github.com/stemd/stem"
)

func ackEarlyCases() []testCase {
	return []testCase{
		{rule: "AckEarly keeps the claim, and Done or Dead is accepted once", run: func(r *rig) {
			for _, kind := range []stem.Kind{stem.Done, stem.Dead} {
				r.put(r.msg("a", generated))
				d := r.one()
				r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.AckEarly})
				r.claims()
				r.state("a", stem.Running)
				r.settle(stem.Settlement{Receipt: d.Receipt, Kind: kind, Result: result(d, stem.Failed)})
				r.state("a", stem.Failed)
				r.isError(r.trySettle(stem.Settlement{Receipt: d.Receipt, Kind: kind}), stem.ErrLeaseLost)
				r.claims()
			}
		}},
		{rule: "AckEarly may be repeated", run: func(r *rig) {
			r.add("a")
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.AckEarly})
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.AckEarly})
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
		}},
		{rule: "AckEarly and the end of one claim in one batch are both carried out, with all they carry", run: func(r *rig) {
			r.add("a")
			d := r.one()
			save := func(id string) []stem.RecordWrite {
				return []stem.RecordWrite{{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: id}}}}
			}
			errs, err := r.store.Broker.Settle(r.ctx, stem.Settlement{Receipt: d.Receipt, Kind: stem.AckEarly, Save: save("early")},
				stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded), Save: save("end")})
			r.noError(errors.Join(append(errs, err)...))
			r.state("a", stem.Succeeded)
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k"})), "early", "end")
		}},
		{rule: "after AckEarly the task can not be given back", run: func(r *rig) {
			r.add("a")
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.AckEarly})
			for _, kind := range []stem.Kind{stem.Retry, stem.Hold, stem.Release, stem.Park, stem.Move} {
				if err := r.trySettle(stem.Settlement{Receipt: d.Receipt, Kind: kind, Queue: "other"}); err == nil {
					r.Errorf("kind %d was accepted", kind)
				}
			}
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
		}},
		{rule: "a lease is extended after AckEarly", run: func(r *rig) {
			r.add("a")
			d := r.take(owner1)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.AckEarly})
			r.extend(stem.Lease{Receipt: d.Receipt, For: 10 * r.lease})
			r.pass(2 * r.lease)
			r.claims()
		}},
		{rule: "when the lease of an early acknowledged task expires it is delivered marked, to be settled", run: func(r *rig) {
			r.add("a")
			first := r.take(owner1)
			r.settle(stem.Settlement{Receipt: first.Receipt, Kind: stem.AckEarly})
			r.pass(r.lease)
			d := r.take(owner2)
			if !d.State.AckedEarly || d.State.Redeliveries != 1 {
				r.Errorf("state is %+v", d.State)
			}
			r.isError(r.trySettle(stem.Settlement{Receipt: first.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Failed)})
			r.state("a", stem.Failed)
			r.pass(r.lease)
			r.claims()
		}},
		{rule: "a replayed dead letter is no longer acknowledged early", needs: inspector, run: func(r *rig) {
			r.add("a")
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.AckEarly})
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead})
			_, err := r.inspector().Replay(r.ctx, stem.Replay{})
			r.noError(err)
			d = r.one()
			if d.State.AckedEarly {
				r.Errorf("state is %+v", d.State)
			}
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Release})
			r.claims("a")
		}},
	}
}
