package adaptertest

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

func waitCases() []testCase {
	needsInspector := func(c testCase) testCase { c.needs = inspector; return c }
	cases := []testCase{
		{rule: "a claim that need not wait does not", run: func(r *rig) {
			r.add("a")
			if ds := r.answer(r.waiting(r.ask(5), patience)); len(ds) != 1 {
				r.Errorf("claimed %v", ids(ds))
			}
		}},
		{rule: "a waiting claim returns none, without error, when its time is over", run: func(r *rig) {
			c := r.ask(1)
			c.Wait = 50 * time.Millisecond
			r.inOrder(ids(r.claimWith(c)))
		}},
		{rule: "a waiting claim ends with its context", run: func(r *rig) {
			ctx, cancel := context.WithCancel(r.ctx)
			done := make(chan struct{})
			c := r.ask(1)
			c.Wait = time.Hour
			go func() {
				defer close(done)
				_, _ = r.store.Broker.Claim(ctx, c)
			}()
			time.AfterFunc(settleIn, cancel)
			select {
			case <-done:
			case <-time.After(patience):
				r.Error("the claim still waits")
			}
		}},
		{rule: "a publish wakes a waiting claim", run: func(r *rig) {
			got := r.waiting(r.ask(1), time.Hour)
			r.add("a")
			r.woken(got, "a")
		}},
		{rule: "claims that wait hold up neither publishers nor other claimers", run: func(r *rig) {
			first, second := r.waiting(r.ask(1, "idle"), time.Hour), r.waiting(r.ask(1, "idle"), time.Hour)
			r.add("a")
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done})
			r.put(r.msg("b", in("idle")), r.msg("c", in("idle")))
			r.answer(first)
			r.answer(second)
		}},
		{rule: "a publish to any of its queues wakes a waiting claim", run: func(r *rig) {
			got := r.waiting(r.ask(1, "a", "b", "c"), time.Hour)
			r.put(r.msg("other", in("other")), r.msg("t", in("c")))
			r.woken(got, "t")
		}},
		{rule: "a follow-up wakes a waiting claim", run: func(r *rig) {
			r.add("a")
			d := r.one()
			got := r.waiting(r.ask(1, "next"), time.Hour)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Then: []stem.Message{r.msg("then", in("next"))}})
			r.woken(got, "then")
		}},
		{rule: "a delayed task that becomes due wakes a waiting claim", run: func(r *rig) {
			r.put(r.msg("a", r.delayed(100*time.Millisecond)))
			r.woken(r.waiting(r.ask(1), time.Hour), "a")
		}},
		{rule: "a delayed task published earlier than the waiter's next due one wakes it at its own time", run: func(r *rig) {
			r.put(r.msg("late", r.delayed(time.Hour)))
			got := r.waiting(r.ask(1), time.Hour)
			r.put(r.msg("soon", r.delayed(100*time.Millisecond)))
			r.woken(got, "soon")
		}},
		{rule: "a release, a retry that is due and a move wake a waiting claim", run: func(r *rig) {
			for _, s := range []stem.Settlement{{Kind: stem.Release}, {Kind: stem.Retry}, {Kind: stem.Retry, At: time.Now().Add(100 * time.Millisecond)}, {Kind: stem.Move, Queue: queue}} {
				r.put(r.msg("a", generated))
				s.Receipt = r.one().Receipt
				got := r.waiting(r.ask(1), time.Hour)
				r.settle(s)
				r.settle(stem.Settlement{Receipt: r.woken(got, "a").Receipt, Kind: stem.Done})
			}
		}},
		{rule: "an expired lease wakes a waiting claim", run: func(r *rig) {
			r.add("a")
			r.take(owner2)
			r.woken(r.waiting(r.ask(1), time.Hour), "a")
		}},
		needsInspector(testCase{rule: "a replay wakes a waiting claim", run: func(r *rig) {
			r.die("a")
			got := r.waiting(r.ask(1), time.Hour)
			r.replay(stem.Replay{})
			r.woken(got, "a")
		}}),
		{rule: "several waiting claims share what comes", run: func(r *rig) {
			first, second := r.waiting(r.ask(1), time.Hour), r.waiting(r.ask(1), time.Hour)
			r.add("a", "b")
			if a, b := r.answer(first), r.answer(second); len(a) != 1 || len(b) != 1 || a[0].ID == b[0].ID {
				r.Errorf("claimed %v and %v", ids(a), ids(b))
			}
		}},
	}
	for i := range cases {
		cases[i].live = true
	}
	return cases
}

// settleIn is how long a claim that was started has to begin to wait. A case is right either way, but only tests waking when
// it does.
const settleIn = 30 * time.Millisecond

// waiting starts a claim that waits, and very probably waits when this returns.
func (r *rig) waiting(c stem.Claim, d time.Duration) <-chan []stem.Delivery {
	c.Wait = d
	ch, broker := make(chan []stem.Delivery, 1), r.store.Broker
	go func() {
		ds, err := broker.Claim(r.ctx, c)
		if err != nil {
			r.Errorf("waiting claim: %v", err)
		}
		ch <- ds
	}()
	select {
	case <-time.After(settleIn):
	case <-r.ctx.Done():
	}
	return ch
}

// answer is what a waiting claim returned.
func (r *rig) answer(ch <-chan []stem.Delivery) []stem.Delivery {
	r.Helper()
	select {
	case ds := <-ch:
		return ds
	case <-time.After(patience):
		r.Fatal("the claim still waits")
		return nil
	}
}

// woken says which one task a waiting claim must return.
func (r *rig) woken(ch <-chan []stem.Delivery, want string) stem.Delivery {
	r.Helper()
	ds := r.answer(ch)
	r.inOrder(ids(ds), want)
	return ds[0]
}
