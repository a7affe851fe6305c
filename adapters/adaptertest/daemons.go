package adaptertest

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stemd/stem"
)

// daemonCases run what several daemons do on one store: each knows some task names, parks what it does not know, and empties the
// parked lanes of what it does.
func daemonCases() []testCase {
	return []testCase{
		{rule: "daemons that know different names share a queue: everything runs once, and nothing goes in circles", live: true, run: func(r *rig) {
			const each = 40
			names := []string{"media.resize", "mail.send"}
			var msgs []stem.Message
			for i := range each {
				for _, name := range names {
					msgs = append(msgs, r.msg(name+strings.Repeat("x", i), named(name)))
				}
			}
			d := &daemons{rig: r, claims: map[string]int{}, done: map[string]int{}, left: len(msgs)}
			var wg sync.WaitGroup
			for _, name := range names {
				wg.Go(func() { d.run(name) })
			}
			r.put(msgs...)
			wg.Wait()
			for _, m := range msgs {
				// Once by the daemon that parked it, once by the one that ran it.
				if d.done[m.ID] != 1 || d.claims[m.ID] > 2 {
					r.Errorf("%s ran %d times in %d claims", m.ID, d.done[m.ID], d.claims[m.ID])
				}
			}
		}},
		{rule: "a task that nobody knows stays in its lane and does not keep the others from running", run: func(r *rig) {
			r.put(r.msg("stranger", named("who.knows"), priority(9)))
			r.add("a", "b")
			var ran []string
			for range 10 {
				for _, d := range r.claim(1) {
					if d.Name != task {
						r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Park})
						continue
					}
					ran = append(ran, d.ID)
					r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
				}
			}
			r.inOrder(ran, "a", "b")
			r.inOrder(ids(r.claim(10, stem.ParkedPrefix+"who.knows")), "stranger")
		}},
		{rule: "a message that takes down every daemon that claims it is counted until it is judged poison, and then is a dead letter", run: func(r *rig) {
			r.add("poison", "innocent")
			var d stem.Delivery
			for n := 0; ; n++ {
				if d = r.take(owner1); d.ID != "poison" {
					r.Fatalf("claimed %s", d.ID)
				}
				if d.State.Redeliveries != n || d.State.Attempt != 0 {
					r.Fatalf("state is %+v after %d deaths", d.State, n)
				}
				if n > stem.MaxRedeliveries {
					break
				}
				r.pass(r.lease)
			}
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead, Reason: stem.ReasonPoison, Result: result(d, stem.Failed)})
			r.state("poison", stem.Failed)
			r.claims("innocent")
		}},
		{rule: "handles whose clocks differ agree on who holds a task: epochs and versions rise", needs: func(c Capabilities) bool { return c.Clock && c.Sibling != nil }, run: func(r *rig) {
			stores := []stem.Store{r.store}
			for _, skew := range []time.Duration{-time.Hour, time.Hour, -24 * time.Hour} {
				stores = append(stores, r.sibling(func(o *stem.StoreOptions) { o.Now = func() time.Time { return r.clock.Now().Add(skew) } }))
			}
			r.add("a")
			ref := stem.RecordRef{Kind: "k", ID: "r"}
			var receipts []stem.Receipt
			var versions []int64
			for range 2 {
				for _, s := range stores {
					r.store = s
					for _, old := range receipts {
						r.isError(r.trySettle(stem.Settlement{Receipt: old, Kind: stem.Done}), stem.ErrLeaseLost)
					}
					d := r.one()
					receipts = append(receipts, d.Receipt)
					versions = append(versions, r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}}))
					if v := versions; len(v) > 1 {
						r.conflict(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.ReplaceRecord, IfVersion: v[len(v)-2]})
					}
					r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Release})
				}
			}
			if !slices.IsSorted(versions) || !slices.IsSortedFunc(receipts, func(x, y stem.Receipt) int { return int(x.Epoch - y.Epoch) }) {
				r.Errorf("versions are %v, receipts %v", versions, receipts)
			}
		}},
	}
}

// daemons work one queue until nothing is left.
type daemons struct {
	*rig
	mu     sync.Mutex
	claims map[string]int
	done   map[string]int
	left   int
}

func (d *daemons) run(knows string) {
	for {
		d.mu.Lock()
		left := d.left
		d.mu.Unlock()
		if left == 0 || d.ctx.Err() != nil {
			return
		}
		c := d.ask(5, queue, stem.ParkedPrefix+knows)
		c.Owner, c.Wait = knows+"/boot", 20*time.Millisecond
		ds, err := d.store.Broker.Claim(d.ctx, c)
		if err != nil {
			d.Error(err)
			return
		}
		d.mu.Lock()
		settlements := make([]stem.Settlement, 0, len(ds))
		for _, task := range ds {
			s := stem.Settlement{Receipt: task.Receipt, Kind: stem.Park}
			d.claims[task.ID]++
			if task.Name == knows {
				s.Kind = stem.Done
				d.done[task.ID]++
				d.left--
			}
			settlements = append(settlements, s)
		}
		d.mu.Unlock()
		errs, err := d.store.Broker.Settle(d.ctx, settlements...)
		if err != nil {
			d.Error(err)
			return
		}
		for _, err := range errs {
			if err != nil {
				d.Error(err)
			}
		}
	}
}
