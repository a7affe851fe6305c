package adaptertest

import (
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/stemd/stem"
)

func resultCases() []testCase {
	write := func(id string, state stem.TaskState, epoch stem.Epoch) stem.StatusWrite {
		return stem.StatusWrite{Status: stem.Status{ID: id, Name: task, Queue: queue, State: state, Epoch: epoch}}
	}
	return []testCase{
		{rule: "a status of an id with a control character is refused, as no task has one", run: func(r *rig) {
			err := r.store.Results.Save(r.ctx, stem.StatusWrite{Status: stem.Status{ID: "a", Name: task, State: stem.Succeeded}},
				stem.StatusWrite{Status: stem.Status{ID: "\x02a", Name: task, State: stem.Succeeded}})
			var invalid *stem.OptionError
			if !errors.As(err, &invalid) {
				r.Errorf("saving gave %v", err)
			}
			if got, err := r.store.Results.Load(r.ctx, "a", "\x02a"); err != nil || got[0] != nil || got[1] != nil {
				r.Errorf("loaded %+v, %v", got, err)
			}
		}},
		{rule: "a status is loaded as it was saved, every field", run: func(r *rig) {
			at := r.now().UTC().Truncate(time.Millisecond)
			s := stem.Status{
				ID: "a", Name: task, Queue: queue, State: stem.Failed, Attempt: 2, Priority: 3, Result: []byte{0, 1, 0xff}, Encoder: "cbor",
				Error: &stem.TaskError{Class: stem.ClassPanic, Type: "T", Message: "m", Stack: "s", Permanent: true},
				Meta:  map[string]json.RawMessage{"k": json.RawMessage(`{"x":1}`)}, Worker: "node-1", ParentID: "p", RootID: "r",
				EnqueuedAt: at, StartedAt: at.Add(time.Second), FinishedAt: at.Add(2 * time.Second), DueAt: at.Add(3 * time.Second), Epoch: 5,
			}
			r.noError(r.store.Results.Save(r.ctx, stem.StatusWrite{Status: s}))
			got := *r.status("a")
			r.near("updated", got.UpdatedAt, r.now())
			got.UpdatedAt = time.Time{}
			for _, t := range []*time.Time{&got.EnqueuedAt, &got.StartedAt, &got.FinishedAt, &got.DueAt} {
				*t = t.UTC()
			}
			if !reflect.DeepEqual(got, s) {
				r.Errorf("loaded %+v\nsaved  %+v", got, s)
			}
		}},
		{rule: "Load answers one entry per id, in order, nil for what is unknown", run: func(r *rig) {
			r.noError(r.store.Results.Save(r.ctx, write("b", stem.Failed, 1), write("a", stem.Succeeded, 1)))
			got, err := r.store.Results.Load(r.ctx, "a", "unknown", "b", "a")
			r.noError(err)
			if len(got) != 4 || got[1] != nil || got[0] == nil || got[0].ID != "a" || got[2] == nil || got[2].ID != "b" || got[3] == nil || got[3].ID != "a" {
				r.Errorf("loaded %+v", got)
			}
			got, err = r.store.Results.Load(r.ctx)
			r.noError(err)
			if len(got) != 0 {
				r.Errorf("loaded %+v", got)
			}
		}},
		{rule: "a status lives for its TTL, from its last write", run: func(r *rig) {
			w := write("a", stem.Running, 1)
			w.TTL = 2 * r.span
			r.noError(r.store.Results.Save(r.ctx, w))
			r.pass(r.span)
			r.noError(r.store.Results.Save(r.ctx, w))
			if r.clock != nil {
				r.pass(r.span + r.span/2)
				r.state("a", stem.Running)
			}
			r.pass(2 * r.span)
			if s := r.status("a"); s != nil {
				r.Errorf("an expired status was loaded: %+v", s)
			}
			if items := r.list(stem.StatusQuery{}); len(items) > 0 {
				r.Errorf("an expired status was listed: %+v", items)
			}
		}},
		{rule: "without a TTL a status lives for the default", needs: settable, run: func(r *rig) {
			r.noError(r.store.Results.Save(r.ctx, write("a", stem.Failed, 1)))
			r.pass(stem.DefaultResultTTL - time.Second)
			r.state("a", stem.Failed)
			r.pass(2 * time.Second)
			if s := r.status("a"); s != nil {
				r.Errorf("an expired status was loaded: %+v", s)
			}
		}},
		{rule: "a later write replaces the whole status", run: func(r *rig) {
			w := write("a", stem.Retried, 1)
			w.Status.Error, w.Status.Meta = &stem.TaskError{Message: "m"}, map[string]json.RawMessage{"k": json.RawMessage(`1`)}
			r.noError(r.store.Results.Save(r.ctx, w, write("a", stem.Succeeded, 1)))
			if s := r.state("a", stem.Succeeded); s.Error != nil || s.Meta != nil {
				r.Errorf("status is %+v", s)
			}
		}},
		{rule: "a write of an older epoch is late and changes nothing", run: func(r *rig) {
			r.noError(r.store.Results.Save(r.ctx, write("a", stem.Running, 7)))
			r.noError(r.store.Results.Save(r.ctx, write("a", stem.Succeeded, 6)))
			r.state("a", stem.Running)
		}},
		{rule: "a terminal status is not replaced at its epoch", run: func(r *rig) {
			r.noError(r.store.Results.Save(r.ctx, write("a", stem.Succeeded, 7)))
			r.noError(r.store.Results.Save(r.ctx, write("a", stem.Running, 7), write("a", stem.Failed, 7)))
			r.state("a", stem.Succeeded)
		}},
		{rule: "a later epoch replaces even a terminal status", run: func(r *rig) {
			r.noError(r.store.Results.Save(r.ctx, write("a", stem.Succeeded, 7)))
			r.noError(r.store.Results.Save(r.ctx, write("a", stem.Running, 8)))
			r.state("a", stem.Running)
		}},
		{rule: "a late write in a batch does not hold back the others", run: func(r *rig) {
			r.noError(r.store.Results.Save(r.ctx, write("a", stem.Succeeded, 7)))
			r.noError(r.store.Results.Save(r.ctx, write("a", stem.Failed, 3), write("b", stem.Failed, 3)))
			r.state("a", stem.Succeeded)
			r.state("b", stem.Failed)
		}},
	}
}

// list is the first page of statuses.
func (r *rig) list(q stem.StatusQuery) []stem.Status {
	r.Helper()
	page, err := r.store.Results.List(r.ctx, q)
	r.noError(err)
	return page.Items
}

func statusIDs(items []stem.Status) []string {
	out := []string{}
	for _, s := range items {
		out = append(out, s.ID)
	}
	return out
}
