package adaptertest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/workflow"
)

func stepCases() []testCase {
	return []testCase{
		{rule: "a checkpoint is read as it was saved, also an empty one, and one that was not saved is not there", run: func(r *rig) {
			r.start("a")
			for name, value := range map[string][]byte{"bytes": {0, '\n', 255}, "null": []byte("null"), "empty": nil} {
				r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), name, value))
				got, ok, err := r.runs().Step(r.ctx, "a", name)
				r.noError(err)
				if !ok || got.Name != name || !bytes.Equal(got.Value, value) {
					r.Errorf("%s is %+v, %t", name, got, ok)
				}
			}
			if _, ok, err := r.runs().Step(r.ctx, "a", "no"); ok || err != nil {
				r.Errorf("a step that was not saved: %t, %v", ok, err)
			}
		}},
		{rule: "a checkpoint says that the run was updated", run: func(r *rig) {
			r.start("a")
			before := r.loadRun("a").UpdatedAt
			r.pass(r.span)
			r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), "s", nil))
			if after := r.loadRun("a").UpdatedAt; after.Sub(before) < r.span {
				r.Errorf("updated at %v, then at %v", before, after)
			}
		}},
		{rule: "steps are listed in the order of execution, not by name, and one saved again keeps its place", run: func(r *rig) {
			r.start("a")
			for _, name := range []string{"z", "b", "m", "a", "b"} {
				r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), name, []byte("of "+name)))
			}
			r.steps("a", "z", "b", "m", "a")
			if got := r.loadRun("a"); got.Cursor != 4 {
				r.Errorf("cursor is %d", got.Cursor)
			}
		}},
		{rule: "a run of many steps lists them all", run: func(r *rig) {
			r.start("a")
			var want []string
			for i := range 120 {
				want = append(want, fmt.Sprintf("s#%d", i))
				r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), want[i], nil))
			}
			r.steps("a", want...)
		}},
		{rule: "a checkpoint that is too large is refused, and the run goes on", run: func(r *rig) {
			r.start("a")
			if err := r.runs().SaveStep(r.ctx, unclaimed("a"), "s", make([]byte, stem.MaxRecord+1)); err == nil {
				r.Error("it was accepted")
			}
			r.steps("a")
			r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), "s", nil))
		}},
		{rule: "a rewind drops the checkpoints of the step and of all later ones", run: func(r *rig) {
			r.start("a")
			for _, name := range []string{"a", "b", "c"} {
				r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), name, nil))
			}
			r.noError(r.runs().Rewind(r.ctx, "a", "b"))
			r.steps("a", "a")
			got := r.loadRun("a")
			if got.Cursor != 1 || got.Status != workflow.Suspended || got.Suspension.Step != "b" || got.Suspension.Checkpoint != "b" {
				r.Errorf("run is %+v, %+v", got, got.Suspension)
			}
			err := r.runs().Rewind(r.ctx, "a", "c")
			if !errors.Is(err, stem.ErrNotFound) {
				r.Errorf("rewinding to a step without a checkpoint: %v", err)
			}
		}},
		{rule: "iterations of a step count as one, and a rewind drops them all", run: func(r *rig) {
			r.start("a")
			for _, name := range []string{"first", "repeat#0", "repeat#1", "last"} {
				r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), name, nil))
			}
			if got := r.loadRun("a"); got.Cursor != 3 {
				r.Errorf("cursor is %d", got.Cursor)
			}
			r.noError(r.runs().Rewind(r.ctx, "a", "repeat"))
			r.steps("a", "first")
			got := r.loadRun("a")
			if at := got.Suspension; got.Status != workflow.Suspended || got.Cursor != 1 || at.Step != "repeat" || at.Iteration != 0 || at.Checkpoint != "repeat#0" {
				r.Errorf("run is %+v, %+v", got, at)
			}
		}},
		{rule: "a rewound run is taken from its holder, resumed by whoever rewound it, and due if he does not", run: func(r *rig) {
			r.start("a")
			l := r.hold("a", owner1)
			r.noError(r.runs().SaveStep(r.ctx, l, "s", nil))
			r.noError(r.runs().Rewind(r.ctx, "a", "s"))
			r.isError(r.runs().SaveStep(r.ctx, l, "s", nil), stem.ErrLeaseLost)
			r.due()
			if r.clock != nil {
				r.pass(workflow.WakeLease)
				r.due("a")
			}
			_, err := r.runs().Resume(r.ctx, "a", nil)
			r.noError(err)
			r.hold("a", owner2)
		}},
		{rule: "a run that ended lives again when it is rewound, with the steps before and its params", run: func(r *rig) {
			_, err := r.runs().Create(r.ctx, workflow.Run{ID: "a", Workflow: "order", Params: []byte("params"), TTL: r.span})
			r.noError(err)
			for _, name := range []string{"a", "b"} {
				r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), name, []byte(name)))
			}
			r.noError(r.runs().Fail(r.ctx, unclaimed("a"), workflow.Failure{Error: "no"}, true))
			r.noError(r.runs().Rewind(r.ctx, "a", "b"))
			r.pass(2 * r.span)
			got := r.loadRun("a")
			if got.Status != workflow.Suspended || got.LastError != nil || string(got.Params) != "params" {
				r.Errorf("run is %+v", got)
			}
			r.steps("a", "a")
		}},
		{rule: "concurrent checkpoints of a run are all kept", run: func(r *rig) {
			r.start("a")
			runs, done := r.runs(), make(chan error)
			for worker := range 4 {
				go func() {
					var failed error
					for i := range 5 {
						if err := runs.SaveStep(r.ctx, unclaimed("a"), fmt.Sprintf("w%d-%d", worker, i), nil); err != nil {
							failed = err
						}
					}
					done <- failed
				}()
			}
			for range 4 {
				r.noError(<-done)
			}
			if got := r.loadRun("a"); got.Cursor != 20 {
				r.Errorf("cursor is %d", got.Cursor)
			}
			positions := map[int]bool{}
			steps, err := r.runs().Steps(r.ctx, "a")
			r.noError(err)
			for _, step := range steps {
				positions[step.Position] = true
			}
			if len(positions) != 20 {
				r.Errorf("the places are %v", positions)
			}
		}},
	}
}

// steps says which checkpoints a run has, in order.
func (r *rig) steps(id string, want ...string) {
	r.Helper()
	steps, err := r.runs().Steps(r.ctx, id)
	r.noError(err)
	got := []string{}
	for _, step := range steps {
		got = append(got, step.Name)
	}
	r.inOrder(got, want...)
}

// due says which runs are to be woken now.
func (r *rig) due(want ...string) {
	r.Helper()
	got, err := r.runs().Due(r.ctx, 0)
	r.noError(err)
	r.inOrder(append([]string{}, got...), want...)
}

// asleep starts a run that sleeps for d.
func (r *rig) asleep(id string, d time.Duration) {
	r.Helper()
	r.start(id)
	r.noError(r.runs().Suspend(r.ctx, unclaimed(id), workflow.Suspension{Step: "sleep", Checkpoint: "sleep", ResumeAt: r.now().Add(d)}))
}
