package adaptertest

import (
	"time"

	"github.com/stemd/stem"
)

func delayCases() []testCase {
	return []testCase{
		{rule: "a delayed task is hidden until it is due", run: func(r *rig) {
			r.put(r.msg("a", r.delayed(r.span)))
			r.claims()
			if r.clock != nil {
				r.pass(r.span - time.Millisecond)
				r.claims()
				r.pass(time.Millisecond)
			} else {
				r.pass(r.span)
			}
			r.claims("a")
		}},
		{rule: "a due time in the past means now", run: func(r *rig) {
			r.put(r.msg("a", r.delayed(-r.span)))
			r.claims("a")
		}},
		{rule: "a delayed task does not hide those due earlier", run: func(r *rig) {
			r.put(r.msg("late", r.delayed(100*r.span), priority(9)), r.msg("soon", r.delayed(r.span)), r.msg("now"))
			r.settle(stem.Settlement{Receipt: r.claims("now")[0].Receipt, Kind: stem.Done})
			r.pass(r.span)
			r.claims("soon")
		}},
		{rule: "a task that became due takes its place by priority", run: func(r *rig) {
			r.put(r.msg("high", r.delayed(r.span), priority(8)), r.msg("low", r.delayed(r.span), priority(1)), r.msg("ready", priority(5)))
			r.pass(r.span)
			r.claims("high", "ready", "low")
		}},
		{rule: "a claimed task tells when it was due", run: func(r *rig) {
			m := r.msg("a", r.delayed(r.span))
			r.put(m)
			r.pass(r.span)
			r.near("not before", r.one().State.NotBefore, m.State.NotBefore)
		}},
		{rule: "many delayed tasks that become due at once are all claimed, in order of arrival within a priority", run: func(r *rig) {
			var msgs []stem.Message
			var want []string
			for i := range 250 {
				m := r.msg(string(rune('a'+i/26))+string(rune('a'+i%26)), r.delayed(r.span))
				m.State.NotBefore = m.State.NotBefore.Truncate(time.Millisecond)
				msgs, want = append(msgs, m), append(want, m.ID)
			}
			r.put(msgs...)
			r.pass(r.span)
			got := ids(r.claim(len(want)))
			for len(got) < len(want) {
				ds := r.claim(len(want))
				if len(ds) == 0 {
					break
				}
				got = append(got, ids(ds)...)
			}
			r.inOrder(got, want...)
		}},
	}
}
