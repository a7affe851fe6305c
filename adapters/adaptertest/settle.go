package adaptertest

import (
	"reflect"
	"time"

	"github.com/stemd/stem"
)

func settleCases() []testCase {
	return []testCase{
		{rule: "Done removes the task", run: func(r *rig) {
			r.add("a")
			r.settle(stem.Settlement{Receipt: r.take(owner1).Receipt, Kind: stem.Done})
			r.pass(r.lease)
			r.claims()
		}},
		{rule: "Retry runs the task again at its time, with the new state", run: func(r *rig) {
			r.add("a")
			retries, limit := 3, time.Minute
			state := stem.State{
				Attempt: 1, Crashes: 1, Home: "home", Evidence: "e1", FirstStarted: r.now().UTC().Truncate(time.Millisecond), Parked: r.now().UTC().Truncate(time.Millisecond),
				Override: &stem.Override{MaxRetries: &retries, SoftLimit: &limit, RetryPolicy: &stem.RetryPolicy{Backoff: true, DefaultDelay: time.Second}},
			}
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Retry, At: r.now().Add(r.span), State: &state})
			r.claims()
			r.pass(r.span)
			got := r.one().State
			if !got.FirstStarted.Equal(state.FirstStarted) || !got.Parked.Equal(state.Parked) {
				r.Errorf("times are %v and %v", got.FirstStarted, got.Parked)
			}
			if got.Attempt != 1 || got.Crashes != 1 || got.Home != "home" || got.Evidence != "e1" || !reflect.DeepEqual(got.Override, state.Override) {
				r.Errorf("state is %+v", got)
			}
		}},
		{rule: "Retry and Hold at no time or in the past mean now", run: func(r *rig) {
			r.add("a")
			for _, s := range []stem.Settlement{{Kind: stem.Retry}, {Kind: stem.Hold}, {Kind: stem.Retry, At: r.now().Add(-r.span)}, {Kind: stem.Hold, At: r.now().Add(-r.span)}} {
				s.Receipt = r.one().Receipt
				r.settle(s)
			}
			r.claims("a")
		}},
		{rule: "Hold hides the task until its time and spends nothing", run: func(r *rig) {
			r.add("a")
			before := r.one()
			r.settle(stem.Settlement{Receipt: before.Receipt, Kind: stem.Hold, At: r.now().Add(r.span)})
			r.claims()
			r.pass(r.span)
			if s := r.one().State; s.Attempt != 0 || s.Redeliveries != 0 {
				r.Errorf("state is %+v", s)
			}
		}},
		{rule: "Release gives the task back at once, in its old place, and spends nothing", run: func(r *rig) {
			r.add("a", "b", "c", "d")
			for _, d := range r.claim(3) {
				if d.ID != "a" {
					r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Release})
				}
			}
			r.put(r.msg("e"), r.msg("p1", priority(1)))
			for _, d := range r.claims("p1", "b", "c", "d", "e") {
				if d.State.Attempt != 0 || d.State.Redeliveries != 0 {
					r.Errorf("state of %s is %+v", d.ID, d.State)
				}
			}
		}},
		{rule: "tasks released in any order, in one batch or several, keep the order of arrival", run: func(r *rig) {
			r.add("a", "b", "c", "d", "e")
			ds := r.claims("a", "b", "c", "d", "e")
			errs, err := r.store.Broker.Settle(r.ctx,
				stem.Settlement{Receipt: ds[3].Receipt, Kind: stem.Release}, stem.Settlement{Receipt: ds[1].Receipt, Kind: stem.Release})
			r.noError(err)
			if errs[0] != nil || errs[1] != nil {
				r.Fatal(errs)
			}
			for _, i := range []int{4, 0, 2} {
				r.settle(stem.Settlement{Receipt: ds[i].Receipt, Kind: stem.Release})
			}
			r.claims("a", "b", "c", "d", "e")
		}},
		{rule: "Park moves the task to the parked lane of its name", run: func(r *rig) {
			r.put(r.msg("a", named("media.resize")))
			state := stem.State{Home: queue, Parked: r.now()}
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Park, State: &state})
			r.claims()
			lane := stem.ParkedPrefix + "media.resize"
			d := r.one(lane)
			if d.Queue != lane || d.Receipt.Queue != lane || d.State.Home != queue {
				r.Errorf("claimed %+v", d)
			}
			r.near("parked", d.State.Parked, state.Parked)
		}},
		{rule: "Move puts the task behind what is in the other queue", run: func(r *rig) {
			r.add("a")
			r.put(r.msg("b", in("other")))
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Move, Queue: "other"})
			r.put(r.msg("c", in("other")))
			r.claims()
			ds := r.claim(10, "other")
			r.inOrder(ids(ds), "b", "a", "c")
			if ds[1].Queue != "other" || ds[1].State.Attempt != 0 {
				r.Errorf("claimed %+v", ds[1].Message)
			}
		}},
		{rule: "a moved task is still one task: its id stays a duplicate and its receipt is over", run: func(r *rig) {
			r.put(r.msg("a", generated))
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Move, Queue: "other"})
			r.duplicate(r.msg("a", generated))
			r.isError(r.trySettle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
			r.inOrder(ids(r.claim(10, "other")), "a")
		}},
		{rule: "an impossible settlement is refused and the claim stays", run: func(r *rig) {
			r.add("a")
			d := r.one()
			for _, s := range []stem.Settlement{{Kind: stem.Move}, {Kind: 99}, {Kind: -1}, {Kind: stem.Done, Then: []stem.Message{r.msg("b", in(""))}}} {
				s.Receipt = d.Receipt
				if err := r.trySettle(s); err == nil {
					r.Errorf("%+v was accepted", s)
				}
			}
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
		}},
		{rule: "without a state a settlement keeps the one there is", run: func(r *rig) {
			m := r.msg("a")
			m.State = stem.State{Attempt: 2, Crashes: 1, Evidence: "e"}
			r.put(m)
			for _, s := range []stem.Settlement{{Kind: stem.Retry}, {Kind: stem.Hold}, {Kind: stem.Release}, {Kind: stem.Move, Queue: queue}} {
				s.Receipt = r.one().Receipt
				r.settle(s)
			}
			if s := r.one().State; s.Attempt != 2 || s.Crashes != 1 || s.Evidence != "e" {
				r.Errorf("state is %+v", s)
			}
		}},
		{rule: "a settlement can not change what only the store keeps", run: func(r *rig) {
			r.add("a")
			created := r.take(owner1).State.Created
			r.pass(r.lease)
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Retry, State: &stem.State{
				Attempt: 1, Redeliveries: 9, AckedEarly: true, Replays: 4, NotBefore: r.now().Add(100 * r.span), Epoch: d.Receipt.Epoch + 1_000_000_000_000,
			}})
			got := r.one()
			if s := got.State; s.Attempt != 1 || s.Redeliveries != 1 || s.AckedEarly || s.Replays != 0 || got.Receipt.Epoch > d.Receipt.Epoch+500_000_000_000 {
				r.Errorf("state is %+v", s)
			}
			r.near("created", got.State.Created, created)
		}},
		{rule: "settling nothing is no error", run: func(r *rig) {
			errs, err := r.store.Broker.Settle(r.ctx)
			r.noError(err)
			if len(errs) > 0 {
				r.Errorf("errors are %v", errs)
			}
		}},
	}
}
