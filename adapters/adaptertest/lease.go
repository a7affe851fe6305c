package adaptertest

import (
	"github.com/stemd/stem"
)

func leaseCases() []testCase {
	return []testCase{
		{rule: "a task is not claimed again before its lease expires", run: func(r *rig) {
			r.add("a")
			d := r.take(owner1)
			r.near("leased until", d.LeasedUntil, r.now().Add(r.lease))
			if r.clock != nil {
				r.pass(r.lease / 2)
			}
			r.claims()
		}},
		{rule: "an expired lease makes the task claimable, counts one redelivery and spends no attempt", run: func(r *rig) {
			r.add("a")
			r.take(owner1)
			r.pass(r.lease)
			d := r.take(owner2)
			if d.State.Redeliveries != 1 || d.State.Attempt != 0 {
				r.Errorf("state is %+v", d.State)
			}
			r.pass(r.lease)
			if d = r.take(owner1); d.State.Redeliveries != 2 {
				r.Errorf("state is %+v", d.State)
			}
		}},
		{rule: "a task whose lease expired comes back in its old place", run: func(r *rig) {
			r.add("a", "b", "c")
			c := r.ask(2)
			c.Lease = r.lease
			r.inOrder(ids(r.claimWith(c)), "a", "b")
			r.add("d")
			r.pass(r.lease)
			r.claims("a", "b", "c", "d")
		}},
		{rule: "Extend hides a task past its first lease, then it is delivered again", run: func(r *rig) {
			r.add("a")
			d := r.take(owner1)
			if r.clock != nil {
				r.pass(r.lease / 2)
			}
			r.extend(stem.Lease{Receipt: d.Receipt, For: 2 * r.lease})
			r.pass(r.lease)
			r.claims()
			r.pass(2 * r.lease)
			r.claims("a")
		}},
		{rule: "a lease counts from now, so Extend may also shorten it", run: func(r *rig) {
			r.add("a")
			r.extend(stem.Lease{Receipt: r.one().Receipt, For: r.lease / 4})
			r.pass(r.lease / 2)
			r.claims("a")
		}},
		{rule: "an expired lease that nobody took is extended", run: func(r *rig) {
			r.add("a")
			d := r.take(owner1)
			r.pass(2 * r.lease)
			r.extend(stem.Lease{Receipt: d.Receipt, For: 100 * r.lease})
			r.claims()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
		}},
		{rule: "an expired lease is settled while nobody took it", run: func(r *rig) {
			r.add("a")
			d := r.take(owner1)
			r.pass(2 * r.lease)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
			r.claims()
			r.state("a", stem.Succeeded)
		}},
		{rule: "Extend returns exactly the receipts that are no longer held", run: func(r *rig) {
			r.add("settled", "taken", "held")
			settled, taken := r.take(owner1).Receipt, r.take(owner1).Receipt
			held := r.one().Receipt
			r.settle(stem.Settlement{Receipt: settled, Kind: stem.Done})
			r.pass(r.lease)
			r.take(owner2)
			unknown := stem.Receipt{ID: "unknown", Queue: queue, Owner: owner1, Epoch: 1, Position: held.Position}
			stranger := held
			stranger.Owner = owner2
			var leases []stem.Lease
			for _, rc := range []stem.Receipt{settled, held, taken, unknown, stranger} {
				leases = append(leases, stem.Lease{Receipt: rc, For: r.lease})
			}
			lost, err := r.store.Broker.Extend(r.ctx, leases...)
			r.noError(err)
			if len(lost) != 4 || lost[0] != settled || lost[1] != taken || lost[2] != unknown || lost[3] != stranger {
				r.Errorf("lost are %+v", lost)
			}
		}},
		{rule: "settling after an extension removes the task", run: func(r *rig) {
			r.add("a")
			d := r.take(owner1)
			r.extend(stem.Lease{Receipt: d.Receipt, For: 2 * r.lease})
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
			r.pass(3 * r.lease)
			r.claims()
		}},
		{rule: "a message's own lease wins over the claimer's", run: func(r *rig) {
			r.put(r.msg("short", leased(r.lease/2)), r.msg("long", leased(100*r.lease)))
			c := r.ask(2)
			c.Lease = r.lease
			r.inOrder(ids(r.claimWith(c)), "short", "long")
			r.pass(2 * r.lease)
			r.claims("short")
		}},
		{rule: "a message keeps its own lease over a retry and a replay", needs: inspector, run: func(r *rig) {
			r.put(r.msg("a", leased(100*r.lease)))
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Retry})
			d := r.one()
			r.near("leased until", d.LeasedUntil, r.now().Add(100*r.lease))
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead})
			_, err := r.inspector().Replay(r.ctx, stem.Replay{})
			r.noError(err)
			r.near("leased until", r.one().LeasedUntil, r.now().Add(100*r.lease))
		}},
		{rule: "a claim without a lease gets the default", needs: settable, run: func(r *rig) {
			r.add("a")
			c := r.ask(1)
			c.Lease = 0
			r.near("leased until", r.claimWith(c)[0].LeasedUntil, r.now().Add(stem.DefaultLease))
		}},
		{rule: "after more expired leases than a task may have it is still delivered, with the count, for a daemon to judge", run: func(r *rig) {
			r.add("a")
			var d stem.Delivery
			for range stem.MaxRedeliveries + 2 {
				d = r.take(owner1)
				r.pass(r.lease)
			}
			if d.State.Redeliveries != stem.MaxRedeliveries+1 {
				r.Errorf("%d redeliveries, want %d", d.State.Redeliveries, stem.MaxRedeliveries+1)
			}
		}},
	}
}

// extend renews leases that must all be held.
func (r *rig) extend(leases ...stem.Lease) {
	r.Helper()
	lost, err := r.store.Broker.Extend(r.ctx, leases...)
	r.noError(err)
	if len(lost) > 0 {
		r.Fatalf("lost %+v", lost)
	}
}
