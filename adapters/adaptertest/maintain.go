package adaptertest

import (
	"fmt"

	"github.com/stemd/stem"
)

func maintainCases() []testCase {
	cases := []testCase{
		{rule: "Maintain deletes expired results, dead letters, records and remembered ids, and counts each", run: func(r *rig) {
			const n = 3
			for i := range n {
				r.add(fmt.Sprintf("done%d", i))
				d := r.one()
				w := result(d, stem.Succeeded)
				w.TTL = r.span
				r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: w})
				r.die(fmt.Sprintf("dead%d", i))
				r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: fmt.Sprint(i)}, Expires: r.now().Add(r.span)}})
			}
			r.pass(r.dead + r.dedupe)
			m := r.maintain()
			if m.DeadLetters != n || m.Records != n || m.SeenIDs != n || m.Results < n {
				r.Errorf("deleted %+v", m)
			}
			if r.caps.Inspector {
				r.inOrder(letterIDs(r.letters(stem.DeadLetterQuery{})))
			}
			if again := r.maintain(); again != (stem.Maintained{}) {
				r.Errorf("deleted again %+v", again)
			}
		}},
		{rule: "Maintain leaves what is not past its time, and live tasks", run: func(r *rig) {
			r.put(r.msg("wait"), r.msg("late", r.delayed(100*r.span)))
			r.finishChosen("done")
			r.die("dead", in("own"))
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "r"}}})
			if m := r.maintain(); m != (stem.Maintained{}) {
				r.Errorf("deleted %+v", m)
			}
			r.state("wait", stem.Queued)
			r.state("late", stem.Queued)
			r.state("done", stem.Succeeded)
			r.duplicate(r.msg("done"))
			if r.record(stem.RecordRef{Kind: "k", ID: "r"}) == nil {
				r.Error("the record is missing")
			}
			if r.caps.Inspector {
				r.inOrder(letterIDs(r.letters(stem.DeadLetterQuery{})), "dead")
			}
		}},
		{rule: "dead letters kept for ever are not deleted", opts: []stem.StoreOption{func(o *stem.StoreOptions) { o.DeadLetters = -1 }}, run: func(r *rig) {
			r.die("a")
			r.pass(10 * r.dead)
			if m := r.maintain(); m.DeadLetters != 0 {
				r.Errorf("deleted %+v", m)
			}
		}},
		{rule: "Maintain comes to its end with much to delete", run: func(r *rig) {
			const n = 5000
			var writes []stem.StatusWrite
			for i := range n {
				writes = append(writes, stem.StatusWrite{Status: stem.Status{ID: fmt.Sprint(i), State: stem.Succeeded, Epoch: 1}, TTL: r.span})
			}
			r.noError(r.store.Results.Save(r.ctx, writes...))
			r.pass(r.span)
			if m := r.maintain(); m.Results != n {
				r.Errorf("deleted %+v, want %d results", m, n)
			}
		}},
	}
	return needing(maintainer, cases)
}

// finishChosen is finish with a chosen id, claimed from a queue of its own.
func (r *rig) finishChosen(id string) {
	r.Helper()
	r.put(r.msg(id, in("own")))
	d := r.one("own")
	r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
}

// maintain runs to the end and returns the sums.
func (r *rig) maintain() stem.Maintained {
	r.Helper()
	var sum stem.Maintained
	for range 1000 {
		m, err := r.store.Broker.(stem.Maintainer).Maintain(r.ctx)
		r.noError(err)
		if sum = sum.Add(m); !m.More {
			return sum
		}
	}
	r.Fatal("Maintain does not come to its end")
	return sum
}
