package adaptertest

import (
	"bytes"
	"fmt"

	"github.com/stemd/stem"
)

func replayCases() []testCase {
	cases := []testCase{
		{rule: "a dry run of a replay tells what would be replayed and changes nothing", run: func(r *rig) {
			r.die("a")
			r.inOrder(r.replay(stem.Replay{DryRun: true}), "a")
			r.claims()
			r.inOrder(letterIDs(r.letters(stem.DeadLetterQuery{})), "a")
			r.state("a", stem.Failed)
		}},
		{rule: "a replayed task is delivered under its id as new: attempt and redeliveries 0, one replay more, envelope unchanged", run: func(r *rig) {
			m := r.msg("a", priority(7))
			r.put(m)
			r.take(owner1)
			r.pass(r.lease)
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead, State: &stem.State{Attempt: 3, Crashes: 2, Override: &stem.Override{}, Evidence: "e"}})
			r.inOrder(r.replay(stem.Replay{}), "a")
			got := r.one()
			if s := got.State; s.Attempt != 0 || s.Redeliveries != 0 || s.Crashes != 0 || s.Override != nil || s.Evidence != "" || s.Replays != 1 {
				r.Errorf("state is %+v", s)
			}
			if got.Priority != 7 || got.Queue != queue || !bytes.Equal(got.Envelope.Header, m.Envelope.Header) || !bytes.Equal(got.Envelope.Body, m.Envelope.Body) {
				r.Errorf("claimed %+v", got.Message)
			}
			if got.Receipt.Epoch <= d.Receipt.Epoch {
				r.Errorf("epoch is %d after %d", got.Receipt.Epoch, d.Receipt.Epoch)
			}
			r.isError(r.trySettle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
			r.settle(stem.Settlement{Receipt: got.Receipt, Kind: stem.Dead})
			r.replay(stem.Replay{})
			if s := r.one().State; s.Replays != 2 {
				r.Errorf("replays are %d, want 2", s.Replays)
			}
		}},
		{rule: "a replay takes the letter off the list and queues the status again, at a higher epoch", run: func(r *rig) {
			dead := r.die("a")
			r.replay(stem.Replay{})
			r.inOrder(letterIDs(r.letters(stem.DeadLetterQuery{})))
			if s := r.state("a", stem.Queued); s.Epoch <= dead.Receipt.Epoch {
				r.Errorf("the status has epoch %d, the dead letter had %d", s.Epoch, dead.Receipt.Epoch)
			}
			d := r.one()
			r.state("a", stem.Running)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded)})
			r.state("a", stem.Succeeded)
		}},
		{rule: "the failure of a replayed task does not come back when it then ends without a result", run: func(r *rig) {
			r.die("a")
			r.replay(stem.Replay{})
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done})
			if s := r.status("a"); s != nil && s.State.Terminal() {
				r.Errorf("status is %+v", s)
			}
		}},
		{rule: "a delayed replay is hidden until due", run: func(r *rig) {
			r.die("a")
			r.replay(stem.Replay{Delay: r.span})
			r.claims()
			r.pass(r.span)
			r.claims("a")
		}},
		{rule: "replayed tasks go behind what waits", run: func(r *rig) {
			r.die("a")
			r.add("b")
			r.replay(stem.Replay{})
			r.claims("b", "a")
		}},
		{rule: "a replay takes those selected, and only as many as asked for", run: func(r *rig) {
			for i := range 6 {
				r.die(fmt.Sprintf("t%d", i))
			}
			r.inOrder(r.replay(stem.Replay{DeadLetterQuery: stem.DeadLetterQuery{IDs: []string{"t1", "unknown"}}}), "t1")
			if got := r.replay(stem.Replay{DeadLetterQuery: stem.DeadLetterQuery{Limit: 2}}); len(got) != 2 {
				r.Errorf("replayed %v", got)
			}
			if got := r.letters(stem.DeadLetterQuery{}); len(got) != 3 {
				r.Errorf("left are %v", letterIDs(got))
			}
		}},
		{rule: "the dead letter of an id that is live again stays, and the replay says why", run: func(r *rig) {
			r.die("a")
			r.put(r.msg("a", generated))
			out, err := r.inspector().Replay(r.ctx, stem.Replay{})
			r.noError(err)
			if len(out) != 1 || out[0].Err == nil {
				r.Errorf("replay gave %+v", out)
			}
			r.inOrder(letterIDs(r.letters(stem.DeadLetterQuery{})), "a")
			r.claims("a")
		}},
		{rule: "a replayed id is live: publishing it is a duplicate", run: func(r *rig) {
			r.die("a")
			r.replay(stem.Replay{})
			r.duplicate(r.msg("a", generated))
		}},
	}
	return needing(inspector, cases)
}

// replay replays and returns the ids, none of which may have failed.
func (r *rig) replay(q stem.Replay) []string {
	r.Helper()
	out, err := r.inspector().Replay(r.ctx, q)
	r.noError(err)
	got := []string{}
	for _, p := range out {
		r.noError(p.Err)
		got = append(got, p.DeadLetter.Message.ID)
	}
	return got
}
