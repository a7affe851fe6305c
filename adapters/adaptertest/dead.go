package adaptertest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/stemd/stem"
)

func deadCases() []testCase {
	cases := []testCase{
		{rule: "a dead letter keeps message, state, reason, error and time", run: func(r *rig) {
			m := r.msg("a", priority(4))
			r.put(m)
			d := r.one()
			failed := result(d, stem.Failed)
			failed.Status.Error = &stem.TaskError{Class: stem.ClassError, Type: "*fs.PathError", Message: "no such file", Stack: "stack", Permanent: true}
			state := stem.State{Attempt: 3, Crashes: 1, Evidence: "e1"}
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead, Reason: stem.ReasonRetriesExhausted, Result: failed, State: &state})
			dl := r.letters(stem.DeadLetterQuery{})[0]
			if dl.Message.ID != "a" || dl.Message.Name != task || dl.Message.Queue != queue || dl.Message.Priority != 4 ||
				!bytes.Equal(dl.Message.Envelope.Header, m.Envelope.Header) || !bytes.Equal(dl.Message.Envelope.Body, m.Envelope.Body) {
				r.Errorf("message is %+v", dl.Message)
			}
			if s := dl.Message.State; s.Attempt != 3 || s.Crashes != 1 || s.Evidence != "e1" {
				r.Errorf("state is %+v", s)
			}
			if dl.Reason != stem.ReasonRetriesExhausted || dl.Error == nil || *dl.Error != *failed.Status.Error {
				r.Errorf("reason is %q, error %+v", dl.Reason, dl.Error)
			}
			r.near("dead at", dl.DeadAt, r.now())
		}},
		{rule: "a dead task is not claimed again and its status is that of the settlement", run: func(r *rig) {
			r.die("a")
			r.pass(r.lease)
			r.claims()
			r.state("a", stem.Failed)
		}},
		{rule: "a dead letter without a reason has the reason unknown, a free-form reason is kept", run: func(r *rig) {
			r.add("a", "b")
			for _, d := range r.claims("a", "b") {
				reason := ""
				if d.ID == "b" {
					reason = "the disk caught fire"
				}
				r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead, Reason: reason})
			}
			if dl := r.letters(stem.DeadLetterQuery{IDs: []string{"a"}})[0]; dl.Reason != stem.ReasonUnknown || dl.Error != nil {
				r.Errorf("dead letter is %+v", dl)
			}
			if dl := r.letters(stem.DeadLetterQuery{IDs: []string{"b"}})[0]; dl.Reason != "the disk caught fire" {
				r.Errorf("reason is %q", dl.Reason)
			}
		}},
		{rule: "dead letters are listed newest first, in pages", run: func(r *rig) {
			var want []string
			for i := range 7 {
				id := fmt.Sprintf("t%d", i)
				r.die(id)
				r.pass(time.Second / 100)
				want = append([]string{id}, want...)
			}
			var got []string
			for offset := 0; ; offset += 3 {
				page, err := r.inspector().DeadLetters(r.ctx, stem.DeadLetterQuery{Limit: 3, Offset: offset})
				r.noError(err)
				got = append(got, letterIDs(page.Items)...)
				if page.More != (offset < 6) {
					r.Errorf("at %d more is %t", offset, page.More)
				}
				if !page.More {
					break
				}
			}
			r.inOrder(got, want...)
		}},
		{rule: "dead letters are selected by queue, ids and time, all together", run: func(r *rig) {
			r.die("a1", in("a"))
			r.die("b1", in("b"))
			r.pass(r.dead / 4)
			since := r.now()
			r.die("a2", in("a"))
			r.die("b2", in("b"))
			for _, c := range []struct {
				q    stem.DeadLetterQuery
				want int
			}{
				{stem.DeadLetterQuery{}, 4},
				{stem.DeadLetterQuery{Queue: "a"}, 2},
				{stem.DeadLetterQuery{Queue: "c"}, 0},
				{stem.DeadLetterQuery{IDs: []string{"a1", "b2", "c"}}, 2},
				{stem.DeadLetterQuery{Since: since}, 2},
				{stem.DeadLetterQuery{Queue: "a", Since: since, IDs: []string{"a2", "b2"}}, 1},
			} {
				if got := r.letters(c.q); len(got) != c.want {
					r.Errorf("%+v gave %v", c.q, letterIDs(got))
				}
			}
		}},
		{rule: "a task that died after it was parked or moved is listed under the queue it died in", run: func(r *rig) {
			r.add("a")
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Park})
			lane := stem.ParkedPrefix + task
			r.settle(stem.Settlement{Receipt: r.one(lane).Receipt, Kind: stem.Dead, Reason: stem.ReasonUnregistered})
			r.inOrder(letterIDs(r.letters(stem.DeadLetterQuery{Queue: lane})), "a")
			r.inOrder(letterIDs(r.letters(stem.DeadLetterQuery{Queue: queue})))
		}},
		{rule: "purging dead letters deletes all that match, and only those, and says how many", run: func(r *rig) {
			for i := range 60 {
				r.die(fmt.Sprintf("a%d", i), in("a"))
			}
			r.die("b", in("b"))
			for _, c := range []struct {
				q    stem.DeadLetterQuery
				want int
			}{
				{stem.DeadLetterQuery{Queue: "a", IDs: []string{"a3", "b"}}, 1},
				{stem.DeadLetterQuery{Queue: "a", Limit: 4}, 4},
				{stem.DeadLetterQuery{Queue: "a", Since: r.now().Add(100 * r.span)}, 0},
				{stem.DeadLetterQuery{Queue: "a"}, 55},
				{stem.DeadLetterQuery{Queue: "a"}, 0},
			} {
				n, err := r.inspector().PurgeDeadLetters(r.ctx, c.q)
				r.noError(err)
				if n != c.want {
					r.Errorf("purging %+v deleted %d, want %d", c.q, n, c.want)
				}
			}
			r.inOrder(letterIDs(r.letters(stem.DeadLetterQuery{})), "b")
			r.state("a1", stem.Failed)
		}},
	}
	return needing(inspector, cases)
}

// needing says what all of cases need that do not say so themselves.
func needing(needs func(Capabilities) bool, cases []testCase) []testCase {
	for i := range cases {
		if cases[i].needs == nil {
			cases[i].needs = needs
		}
	}
	return cases
}

func (r *rig) inspector() stem.Inspector { return r.store.Broker.(stem.Inspector) }

// die publishes a task with a generated id, claims it and settles it Dead with a result.
func (r *rig) die(id string, mods ...func(*stem.Message)) stem.Delivery {
	r.Helper()
	m := r.msg(id, append(mods, generated)...)
	r.put(m)
	d := r.one(m.Queue)
	if d.ID != id {
		r.Fatalf("claimed %s, want %s", d.ID, id)
	}
	failed := result(d, stem.Failed)
	failed.Status.Error = &stem.TaskError{Class: stem.ClassError, Message: "broken"}
	r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead, Reason: stem.ReasonPermanent, Result: failed})
	return d
}

func (r *rig) letters(q stem.DeadLetterQuery) []stem.DeadLetter {
	r.Helper()
	page, err := r.inspector().DeadLetters(r.ctx, q)
	r.noError(err)
	return page.Items
}

func letterIDs(letters []stem.DeadLetter) []string {
	out := []string{}
	for _, dl := range letters {
		out = append(out, dl.Message.ID)
	}
	return out
}
