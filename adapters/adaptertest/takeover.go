package adaptertest

import (
	"github.com/stemd/stem"
)

func takeoverCases() []testCase {
	cases := []testCase{
		{rule: "ReleaseOwner gives back what an owner holds, in its old place, counting one redelivery", run: func(r *rig) {
			r.add("a", "b", "c", "d")
			r.claim(1)
			theirs := r.ask(2)
			theirs.Owner = owner2
			r.inOrder(ids(r.claimWith(theirs)), "b", "c")
			if n := r.release(owner2); n != 2 {
				r.Errorf("released %d, want 2", n)
			}
			for _, d := range r.claims("b", "c", "d") {
				want := 1
				if d.ID == "d" {
					want = 0
				}
				if d.State.Redeliveries != want || d.State.Attempt != 0 {
					r.Errorf("state of %s is %+v", d.ID, d.State)
				}
			}
		}},
		{rule: "after ReleaseOwner the old receipts are stale", run: func(r *rig) {
			r.add("a")
			old := r.one()
			r.release(owner1)
			r.isError(r.trySettle(stem.Settlement{Receipt: old.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
			lost, err := r.store.Broker.Extend(r.ctx, stem.Lease{Receipt: old.Receipt, For: r.lease})
			r.noError(err)
			if len(lost) != 1 {
				r.Errorf("lost are %+v", lost)
			}
			d := r.one()
			r.isError(r.trySettle(stem.Settlement{Receipt: old.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
		}},
		{rule: "ReleaseOwner counts one redelivery also for a lease that had expired", run: func(r *rig) {
			r.add("a")
			r.take(owner1)
			r.pass(r.lease)
			if n := r.release(owner1); n != 1 {
				r.Errorf("released %d, want 1", n)
			}
			if s := r.one().State; s.Redeliveries != 1 {
				r.Errorf("state is %+v", s)
			}
		}},
		{rule: "ReleaseOwner keeps the mark of an early acknowledged task", run: func(r *rig) {
			r.add("a")
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.AckEarly})
			r.release(owner1)
			if s := r.one().State; !s.AckedEarly {
				r.Errorf("state is %+v", s)
			}
		}},
		{rule: "ReleaseOwner of an owner without claims releases none, also one whose name begins alike", run: func(r *rig) {
			r.add("a")
			r.one()
			for _, owner := range []string{owner1 + "1", "node-1", owner2} {
				if n := r.release(owner); n != 0 {
					r.Errorf("released %d of %s", n, owner)
				}
			}
			r.claims()
		}},
	}
	return needing(takeover, cases)
}

func (r *rig) release(owner string) int {
	r.Helper()
	n, err := r.store.Broker.(stem.Takeover).ReleaseOwner(r.ctx, owner)
	r.noError(err)
	return n
}
