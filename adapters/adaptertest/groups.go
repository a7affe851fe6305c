package adaptertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stemd/stem"
)

const callbacks = "callbacks"

func groupCases() []testCase {
	return append(tallyCases(), []testCase{
		{rule: "a group is loaded as it was opened", run: func(r *rig) {
			callback := r.msg("callback", in(callbacks), priority(3), key(time.Minute))
			g := stem.Group{ID: "g", Members: []string{"c", "a", "b"}, Callback: &callback, Meta: map[string]json.RawMessage{"k": []byte(`1`)}, TTL: 2 * r.span}
			r.open(g)
			got := r.group("g")
			if got.State != stem.GroupOpen || len(got.Ended) != 0 || !slices.Equal(got.Members, g.Members) || string(got.Meta["k"]) != "1" || got.TTL != g.TTL {
				r.Errorf("loaded %+v", got)
			}
			c := got.Callback
			if c == nil || c.ID != "callback" || c.Queue != callbacks || c.Priority != 3 || c.Unique != callback.Unique || string(c.Envelope.Body) != "body of callback" {
				r.Errorf("callback is %+v", c)
			}
		}},
		{rule: "an unknown group is no error", run: func(r *rig) {
			r.open(stem.Group{ID: "g", Members: []string{"a"}})
			out, err := r.store.Results.LoadGroups(r.ctx, "x", "g")
			r.noError(err)
			if len(out) != 2 || out[0] != nil || out[1] == nil {
				r.Errorf("loaded %v", out)
			}
			if got := r.tally(stem.Tally{Group: "x", TaskID: "a", Epoch: 1, State: stem.Succeeded}); got.State != stem.GroupUnknown || got.Callback != nil {
				r.Errorf("tallied %+v", got)
			}
			r.noError(r.store.Results.Fired(r.ctx, "x"))
		}},
		{rule: "a group that can not work is refused", run: func(r *rig) {
			callback := r.msg("callback", generated)
			for _, g := range []stem.Group{
				{ID: "g"},
				{Members: []string{"a"}},
				{ID: "g", Members: []string{"a", "a"}},
				{ID: "g", Members: []string{""}},
				{ID: "g", Members: []string{"a"}, Callback: &callback},
				{ID: "g", Members: make([]string, stem.MaxGroup+1)},
			} {
				var refused *stem.OptionError
				if err := r.store.Results.OpenGroups(r.ctx, g); !errors.As(err, &refused) {
					r.Errorf("opening a group of %d members gave %v", len(g.Members), err)
				}
			}
		}},
		{rule: "opening a group again starts it anew", run: func(r *rig) {
			r.open(stem.Group{ID: "g", Members: []string{"a", "b"}})
			r.tally(stem.Tally{Group: "g", TaskID: "a", Epoch: 1, State: stem.Succeeded})
			r.open(stem.Group{ID: "g", Members: []string{"a", "c"}})
			if g := r.group("g"); len(g.Ended) != 0 || !slices.Equal(g.Members, []string{"a", "c"}) {
				r.Errorf("loaded %+v", g)
			}
			r.tally(stem.Tally{Group: "g", TaskID: "a", Epoch: 1, State: stem.Succeeded})
			if got := r.tally(stem.Tally{Group: "g", TaskID: "c", Epoch: 1, State: stem.Succeeded}); got.State != stem.GroupDone {
				r.Errorf("tallied %+v", got)
			}
		}},
		{rule: "a group expires after its TTL, and counts nothing then", run: func(r *rig) {
			r.open(stem.Group{ID: "g", Members: []string{"a"}, TTL: r.span})
			r.pass(r.span)
			r.noGroup("g")
			if got := r.tally(stem.Tally{Group: "g", TaskID: "a", Epoch: 1, State: stem.Succeeded}); got.State != stem.GroupUnknown {
				r.Errorf("tallied %+v", got)
			}
		}},
		{rule: "a group does not expire before the last end that it counted", needs: settable, run: func(r *rig) {
			r.open(stem.Group{ID: "g", Members: []string{"a", "b"}, TTL: time.Hour})
			r.pass(50 * time.Minute)
			r.tally(stem.Tally{Group: "g", TaskID: "a", Epoch: 1, State: stem.Succeeded})
			r.pass(50 * time.Minute)
			r.near("expiry", r.group("g").Expires, r.now().Add(10*time.Minute))
			r.pass(10 * time.Minute)
			r.noGroup("g")
		}},
		{rule: "Expire sets the life that is left to groups and results", run: func(r *rig) {
			r.open(stem.Group{ID: "g", Members: []string{"a"}}, stem.Group{ID: "h", Members: []string{"a"}})
			r.noError(r.store.Results.Save(r.ctx, stem.StatusWrite{Status: stem.Status{ID: "s", State: stem.Succeeded, Epoch: 1}}))
			r.noError(r.store.Results.Expire(r.ctx, r.span, "g", "s", "unknown"))
			r.group("g")
			r.state("s", stem.Succeeded)
			r.pass(r.span)
			r.noGroup("g")
			r.group("h")
			if s := r.status("s"); s != nil {
				r.Errorf("status is %+v", s)
			}
			r.noError(r.store.Results.Expire(r.ctx, 0, "h"))
			r.noGroup("h")
		}},
		{rule: "Expire does not touch a live task", run: func(r *rig) {
			r.add("a")
			r.noError(r.store.Results.Expire(r.ctx, 0, "a"))
			r.state("a", stem.Queued)
		}},
		{rule: "Maintain deletes expired groups, also large ones, and counts them", needs: maintainer, run: func(r *rig) {
			var members []string
			for i := range 3000 {
				members = append(members, fmt.Sprint(i))
			}
			r.open(stem.Group{ID: "g", Members: members, TTL: r.span}, stem.Group{ID: "h", Members: []string{"a"}, TTL: r.span}, stem.Group{ID: "stays", Members: []string{"a"}})
			r.pass(r.span)
			if m := r.maintain(); m.Groups != 2 {
				r.Errorf("deleted %+v", m)
			}
			r.group("stays")
			r.open(stem.Group{ID: "g", Members: []string{"a"}})
			if g := r.group("g"); len(g.Members) != 1 {
				r.Errorf("loaded %d members", len(g.Members))
			}
		}},
		{rule: "groups of two namespaces are apart", needs: sibling, run: func(r *rig) {
			r.open(stem.Group{ID: "g", Members: []string{"a"}})
			here := r.store
			r.store = r.sibling(stem.Namespace("green"))
			r.noGroup("g")
			r.open(stem.Group{ID: "g", Members: []string{"b"}})
			r.store = here
			if g := r.group("g"); !slices.Equal(g.Members, []string{"a"}) {
				r.Errorf("loaded %+v", g)
			}
		}},
	}...)
}

func tallyCases() []testCase {
	return []testCase{
		{rule: "the settlement of the last member that succeeds publishes the callback, once", run: func(r *rig) {
			r.openOf(true, "a", "b")
			r.member("a", stem.Done, stem.Succeeded)
			r.called(false)
			if g := r.group("g"); g.State != stem.GroupOpen || !maps.Equal(g.Ended, map[string]stem.TaskState{"a": stem.Succeeded}) {
				r.Errorf("group is %+v", g)
			}
			r.member("b", stem.Done, stem.Succeeded)
			r.called(true)
			r.groupIs(stem.GroupFired)
		}},
		{rule: "without a callback a group is done", run: func(r *rig) {
			r.openOf(false, "a")
			r.member("a", stem.Done, stem.Succeeded)
			r.groupIs(stem.GroupDone)
		}},
		{rule: "a member that failed or was cancelled makes the group failed, and there is no callback", run: func(r *rig) {
			r.openOf(true, "a", "b", "c")
			r.member("a", stem.Dead, stem.Failed)
			r.member("b", stem.Done, stem.Cancelled)
			r.groupIs(stem.GroupOpen)
			r.member("c", stem.Done, stem.Succeeded)
			r.groupIs(stem.GroupFailed)
			r.called(false)
		}},
		{rule: "a failed member that is replayed and succeeds completes the group", needs: inspector, run: func(r *rig) {
			r.openOf(true, "a", "b")
			r.member("a", stem.Dead, stem.Failed)
			r.member("b", stem.Done, stem.Succeeded)
			r.groupIs(stem.GroupFailed)
			r.inOrder(r.replay(stem.Replay{}), "a")
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded), Tally: &stem.Tally{Group: "g", State: stem.Succeeded}})
			r.called(true)
		}},
		{rule: "a stale settlement counts nothing", run: func(r *rig) {
			r.openOf(true, "a")
			r.add("a")
			stale := r.take(owner1)
			r.pass(r.lease)
			r.one()
			err := r.trySettle(stem.Settlement{Receipt: stale.Receipt, Kind: stem.Done, Tally: &stem.Tally{Group: "g", State: stem.Succeeded}})
			r.isError(err, stem.ErrLeaseLost)
			r.groupIs(stem.GroupOpen)
			r.called(false)
		}},
		{rule: "a conflict in Save counts nothing", run: func(r *rig) {
			r.openOf(true, "a")
			r.add("a")
			missing := stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "r"}}, Op: stem.ReplaceRecord, IfVersion: 1}
			err := r.trySettle(stem.Settlement{
				Receipt: r.one().Receipt, Kind: stem.Done, Tally: &stem.Tally{Group: "g", State: stem.Succeeded}, Save: []stem.RecordWrite{missing},
			})
			r.isError(err, stem.ErrConflict)
			r.groupIs(stem.GroupOpen)
		}},
		{rule: "only an end can be counted", run: func(r *rig) {
			r.openOf(true, "a")
			r.add("a")
			d := r.one()
			for _, s := range []stem.Settlement{
				{Kind: stem.Retry, Tally: &stem.Tally{Group: "g", State: stem.Succeeded}}, {Kind: stem.Done, Tally: &stem.Tally{Group: "g", State: stem.Running}},
			} {
				s.Receipt = d.Receipt
				if err := r.trySettle(s); err == nil {
					r.Errorf("%+v was accepted", s)
				}
			}
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
			r.groupIs(stem.GroupOpen)
		}},
		{rule: "a settlement that counts in an unknown group is settled", run: func(r *rig) {
			r.add("a")
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done, Tally: &stem.Tally{Group: "x", State: stem.Succeeded}})
			r.claims()
		}},
		{rule: "each member counts once, its latest epoch wins, and strangers do not count", run: func(r *rig) {
			r.openOf(true, "a", "b")
			for _, t := range []struct {
				tally stem.Tally
				want  stem.GroupState
			}{
				{stem.Tally{TaskID: "a", Epoch: 5, State: stem.Succeeded}, stem.GroupOpen},
				{stem.Tally{TaskID: "a", Epoch: 5, State: stem.Succeeded}, stem.GroupOpen},
				{stem.Tally{TaskID: "stranger", Epoch: 5, State: stem.Succeeded}, stem.GroupOpen},
				{stem.Tally{TaskID: "b", Epoch: 5, State: stem.Failed}, stem.GroupFailed},
				{stem.Tally{TaskID: "b", Epoch: 5, State: stem.Succeeded}, stem.GroupFailed},
				{stem.Tally{TaskID: "b", Epoch: 4, State: stem.Succeeded}, stem.GroupFailed},
				{stem.Tally{TaskID: "b", Epoch: 6, State: stem.Succeeded}, stem.GroupFiring},
			} {
				t.tally.Group = "g"
				if got := r.tally(t.tally); got.State != t.want {
					r.Errorf("%+v: group is %s, want %s", t.tally, got.State, t.want)
				}
			}
		}},
		{rule: "whoever meets a firing group gets its callback until it has fired", run: func(r *rig) {
			r.openOf(true, "a")
			last := stem.Tally{Group: "g", TaskID: "a", Epoch: 1, State: stem.Succeeded}
			for range 3 {
				if got := r.tally(last); got.State != stem.GroupFiring || got.Callback == nil || got.Callback.ID != "callback" {
					r.Fatalf("tallied %+v", got)
				}
			}
			r.noError(r.store.Results.Fired(r.ctx, "g"))
			if got := r.tally(last); got.State != stem.GroupFired || got.Callback != nil {
				r.Errorf("tallied %+v", got)
			}
		}},
		{rule: "a settlement that meets a firing group publishes its callback", run: func(r *rig) {
			r.openOf(true, "a")
			r.add("a")
			d := r.one()
			r.tally(stem.Tally{Group: "g", TaskID: "a", Epoch: d.Receipt.Epoch, State: stem.Succeeded}) // and the process died
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Tally: &stem.Tally{Group: "g", State: stem.Succeeded}})
			r.called(true)
			r.groupIs(stem.GroupFired)
		}},
		{rule: "of concurrent last members one publishes the callback", run: func(r *rig) {
			const members = 8
			var names []string
			for i := range members {
				names = append(names, fmt.Sprintf("m%d", i))
			}
			r.openOf(true, names...)
			r.add(names...)
			var wg sync.WaitGroup
			for _, d := range r.claim(members) {
				wg.Go(func() {
					errs, err := r.store.Broker.Settle(r.ctx, stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Tally: &stem.Tally{Group: "g", State: stem.Succeeded}})
					if err = errors.Join(append(errs, err)...); err != nil {
						r.Error(err)
					}
				})
			}
			wg.Wait()
			r.called(true)
		}},
		{rule: "a member that runs again after its group has fired publishes no second callback", run: func(r *rig) {
			r.openOf(true, "a")
			for range 2 {
				r.put(r.msg("a", generated))
				d := r.one()
				r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: result(d, stem.Succeeded), Tally: &stem.Tally{Group: "g", State: stem.Succeeded}})
			}
			r.called(true)
			r.groupIs(stem.GroupFired)
		}},
		{rule: "a member that is redelivered after it was counted counts once", run: func(r *rig) {
			r.openOf(true, "a", "b")
			r.add("a")
			first := r.take(owner1)
			r.tally(stem.Tally{Group: "g", TaskID: "a", Epoch: first.Receipt.Epoch, State: stem.Succeeded}) // and the process died
			r.pass(r.lease)
			again := r.take(owner2)
			r.settle(stem.Settlement{Receipt: again.Receipt, Kind: stem.Done, Tally: &stem.Tally{Group: "g", State: stem.Succeeded}})
			r.groupIs(stem.GroupOpen)
			r.member("b", stem.Done, stem.Succeeded)
			r.called(true)
		}},
		{rule: "a member that is purged counts as cancelled", needs: inspector, run: func(r *rig) {
			r.openOf(true, "a")
			m := r.msg("a")
			header, err := stem.EncodeHeader(&stem.Header{ID: "a", Name: task, Canvas: stem.Canvas{GroupID: "g"}})
			r.noError(err)
			m.Envelope.Header = header
			r.put(m)
			if s := r.state("a", stem.Queued); s.GroupID != "g" {
				r.Errorf("status is %+v", s)
			}
			_, err = r.inspector().Purge(r.ctx, queue)
			r.noError(err)
			if g := r.group("g"); g.State != stem.GroupFailed || g.Ended["a"] != stem.Cancelled {
				r.Errorf("group is %+v", g)
			}
		}},
	}
}

func (r *rig) open(groups ...stem.Group) {
	r.Helper()
	r.noError(r.store.Results.OpenGroups(r.ctx, groups...))
}

// openOf opens the group "g".
func (r *rig) openOf(callback bool, members ...string) {
	r.Helper()
	g := stem.Group{ID: "g", Members: members}
	if callback {
		m := r.msg("callback", in(callbacks))
		g.Callback = &m
	}
	r.open(g)
}

func (r *rig) group(id string) *stem.GroupStatus {
	r.Helper()
	out, err := r.store.Results.LoadGroups(r.ctx, id)
	r.noError(err)
	if len(out) != 1 || out[0] == nil {
		r.Fatalf("there is no group %s", id)
	}
	return out[0]
}

func (r *rig) noGroup(id string) {
	r.Helper()
	out, err := r.store.Results.LoadGroups(r.ctx, id)
	r.noError(err)
	if len(out) != 1 || out[0] != nil {
		r.Fatalf("group %s is %+v, want none", id, out[0])
	}
}

func (r *rig) groupIs(want stem.GroupState) {
	r.Helper()
	if got := r.group("g").State; got != want {
		r.Fatalf("group is %s, want %s", got, want)
	}
}

func (r *rig) tally(t stem.Tally) stem.Tallied {
	r.Helper()
	out, err := r.store.Results.Tally(r.ctx, t)
	r.noError(err)
	if len(out) != 1 {
		r.Fatalf("one tally gave %d answers", len(out))
	}
	return out[0]
}

// member runs a task that ends as a member of "g".
func (r *rig) member(id string, kind stem.Kind, state stem.TaskState) {
	r.Helper()
	r.add(id)
	d := r.one()
	r.settle(stem.Settlement{Receipt: d.Receipt, Kind: kind, Result: result(d, state), Tally: &stem.Tally{Group: "g", State: state}})
}

// called says whether the callback of "g" was published, and that it was not more than once.
func (r *rig) called(want bool) {
	r.Helper()
	ds := r.claim(10, callbacks)
	if got := ids(ds); len(got) > 1 || (len(got) == 1) != want {
		r.Fatalf("callbacks are %v, want one: %t", got, want)
	}
}
