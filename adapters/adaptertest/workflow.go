package adaptertest

import (
	"slices"
	"sync"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/workflow"
)

// workflowCases are durable runs on the store's records: package workflow must find what it needs in every adapter.
func workflowCases() []testCase {
	return slices.Concat(runCases(), stepCases(), runLeaseCases(), suspendCases(), workflowEventCases())
}

func runCases() []testCase {
	return []testCase{
		{rule: "a run starts running, at cursor 0, under the id given or one of its own", run: func(r *rig) {
			given := r.start("given")
			if given.ID != "given" || given.Status != workflow.Running || given.Cursor != 0 || given.Owner != "" {
				r.Errorf("created %+v", given)
			}
			own, err := r.runs().Create(r.ctx, workflow.Run{Workflow: "order"})
			r.noError(err)
			if own.ID == "" || r.loadRun(own.ID).Status != workflow.Running {
				r.Errorf("created %+v", own)
			}
		}},
		{rule: "a run of a known id is refused, and the first is not touched", run: func(r *rig) {
			r.start("a")
			_, err := r.runs().Create(r.ctx, workflow.Run{ID: "a", Workflow: "other", Params: []byte("other")})
			r.isError(err, stem.ErrConflict)
			if got := r.loadRun("a"); got.Workflow != "order" || string(got.Params) != "params" {
				r.Errorf("run is %+v", got)
			}
		}},
		{rule: "a run keeps its params, parent, cancellation policy and what the engine says of it, which is no part of the params", run: func(r *rig) {
			want := workflow.Run{
				ID: "a", Workflow: "order", ParentID: "parent", Params: []byte{0, '\n', 255}, Runtime: map[string]string{"continuationQueue": "wf"},
				Policy: workflow.Policy{MaxRun: time.Hour, MaxSuspend: time.Minute},
			}
			_, err := r.runs().Create(r.ctx, want)
			r.noError(err)
			got := r.loadRun("a")
			if got.ParentID != "parent" || string(got.Params) != string(want.Params) || got.Runtime["continuationQueue"] != "wf" || got.Policy != want.Policy {
				r.Errorf("run is %+v", got)
			}
			r.near("created", got.CreatedAt, r.now())
		}},
		{rule: "an unknown run is not found, whatever is done to it", run: func(r *rig) {
			_, err := r.runs().Load(r.ctx, "no")
			r.isError(err, stem.ErrNotFound)
			r.isError(r.runs().Cancel(r.ctx, "no", ""), stem.ErrNotFound)
			r.isError(r.runs().SaveStep(r.ctx, workflow.Lease{RunID: "no"}, "a", nil), stem.ErrNotFound)
		}},
		{rule: "a completed run has its result and waits for nothing", run: func(r *rig) {
			r.start("a")
			r.noError(r.runs().Suspend(r.ctx, unclaimed("a"), workflow.Suspension{Step: "s", Topic: "t"}))
			_, err := r.runs().Resume(r.ctx, "a", []byte("x"))
			r.noError(err)
			r.noError(r.runs().Complete(r.ctx, unclaimed("a"), []byte("result")))
			got := r.loadRun("a")
			if got.Status != workflow.Completed || string(got.Result) != "result" || got.Suspension != nil {
				r.Errorf("run is %+v", got)
			}
			r.isError(r.runs().Complete(r.ctx, unclaimed("a"), []byte("again")), workflow.ErrEnded)
		}},
		{rule: "a failure keeps the run running with its error, a terminal one ends it", run: func(r *rig) {
			r.start("a")
			r.noError(r.runs().Fail(r.ctx, unclaimed("a"), workflow.Failure{Error: "disk full", Stack: "main.go:1"}, false))
			if got := r.loadRun("a"); got.Status != workflow.Running || got.LastError == nil || got.LastError.Error != "disk full" || got.LastError.Stack != "main.go:1" {
				r.Errorf("run is %+v", got)
			}
			r.noError(r.runs().Fail(r.ctx, unclaimed("a"), workflow.Failure{Error: "still full"}, true))
			if got := r.loadRun("a"); got.Status != workflow.Failed || got.LastError.Error != "still full" {
				r.Errorf("run is %+v", got)
			}
		}},
		{rule: "a cancelled run says why and when, and refuses what its holder still writes", run: func(r *rig) {
			r.start("a")
			l := r.hold("a", owner1)
			r.noError(r.runs().Cancel(r.ctx, "a", "maxRunDuration"))
			got := r.loadRun("a")
			if got.Status != workflow.Cancelled || got.Cancelled == nil || got.Cancelled.Reason != "maxRunDuration" {
				r.Fatalf("run is %+v", got)
			}
			r.near("cancelled", got.Cancelled.At, r.now())
			r.isError(r.runs().SaveStep(r.ctx, l, "s", nil), workflow.ErrEnded)
			r.isError(r.runs().Cancel(r.ctx, "a", "again"), workflow.ErrEnded)
			r.refusedClaim("a", owner2)
		}},
		{rule: "a run that ended is gone after its TTL, with all of its steps, and never before its end", run: func(r *rig) {
			_, err := r.runs().Create(r.ctx, workflow.Run{ID: "a", Workflow: "order", Params: []byte("p"), TTL: r.span})
			r.noError(err)
			r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), "s", []byte("v")))
			r.pass(2 * r.span)
			if got := r.loadRun("a"); got.Status != workflow.Running || string(got.Params) != "p" {
				r.Errorf("run is %+v", got)
			}
			r.noError(r.runs().Complete(r.ctx, unclaimed("a"), []byte("result")))
			r.pass(r.span)
			_, err = r.runs().Load(r.ctx, "a")
			r.isError(err, stem.ErrNotFound)
			if left := r.records(stem.RecordQuery{Kind: workflow.Kind}); len(left) > 0 {
				r.Errorf("left are %v", recordIDs(left))
			}
		}},
		{rule: "runs are listed newest first, by workflow and status, in pages, with their cursor", run: func(r *rig) {
			for _, id := range []string{"a", "b", "c", "d"} {
				name := "order"
				if id == "c" {
					name = "refund"
				}
				_, err := r.runs().Create(r.ctx, workflow.Run{ID: id, Workflow: name})
				r.noError(err)
				r.pass(time.Millisecond)
			}
			r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), "x#0", nil))
			r.noError(r.runs().SaveStep(r.ctx, unclaimed("a"), "x#1", nil))
			r.noError(r.runs().Suspend(r.ctx, unclaimed("b"), workflow.Suspension{Step: "s", Topic: "t"}))
			r.inOrder(r.listRuns(workflow.Query{}), "d", "c", "b", "a")
			r.inOrder(r.listRuns(workflow.Query{Limit: 1}), "d", "c", "b", "a")
			r.inOrder(r.listRuns(workflow.Query{Workflow: "order"}), "d", "b", "a")
			r.inOrder(r.listRuns(workflow.Query{Status: workflow.Running}), "d", "c", "a")
			r.inOrder(r.listRuns(workflow.Query{Status: workflow.Running, Workflow: "order"}), "d", "a")
			r.inOrder(r.listRuns(workflow.Query{Status: workflow.Failed}))
			page, err := r.runs().List(r.ctx, workflow.Query{Workflow: "order"})
			r.noError(err)
			if last := page.Items[2]; last.Cursor != 1 {
				r.Errorf("listed %+v", last)
			}
		}},
		{rule: "runs of two namespaces are apart", needs: sibling, run: func(r *rig) {
			r.start("a")
			r.store = r.sibling(stem.Namespace("green"))
			_, err := r.runs().Load(r.ctx, "a")
			r.isError(err, stem.ErrNotFound)
			r.inOrder(r.listRuns(workflow.Query{}))
		}},
	}
}

func runLeaseCases() []testCase {
	return []testCase{
		{rule: "a claim keeps other owners out until it is given up", run: func(r *rig) {
			r.start("a")
			l := r.hold("a", owner1)
			r.refusedClaim("a", owner2)
			if got := r.loadRun("a"); got.Owner != owner1 || got.LeasedUntil.IsZero() {
				r.Errorf("run is %+v", got)
			}
			r.inOrder(r.runnable())
			r.noError(r.runs().Release(r.ctx, l))
			r.inOrder(r.runnable(), "a")
			r.hold("a", owner2)
			r.isError(r.runs().Release(r.ctx, l), stem.ErrLeaseLost)
		}},
		{rule: "a claim that was not renewed is taken over, and its holder writes nothing more", run: func(r *rig) {
			r.start("a")
			stale := r.holdFor("a", owner1, r.lease)
			r.pass(r.lease)
			r.inOrder(r.runnable(), "a")
			r.noError(r.runs().SaveStep(r.ctx, stale, "still held by nobody else", nil))
			fresh := r.hold("a", owner2)
			for _, err := range []error{
				r.runs().SaveStep(r.ctx, stale, "s", nil), r.runs().Renew(r.ctx, stale, time.Minute), r.runs().Release(r.ctx, stale),
				r.runs().Complete(r.ctx, stale, nil), r.runs().Fail(r.ctx, stale, workflow.Failure{}, true),
				r.runs().Suspend(r.ctx, stale, workflow.Suspension{Step: "s", Topic: "t"}), r.runs().SaveStep(r.ctx, unclaimed("a"), "s", nil),
			} {
				r.isError(err, stem.ErrLeaseLost)
			}
			r.noError(r.runs().SaveStep(r.ctx, fresh, "s", nil))
		}},
		{rule: "an owner's own earlier claim of a run is stale", run: func(r *rig) {
			r.start("a")
			first := r.hold("a", owner1)
			second := r.hold("a", owner1)
			r.isError(r.runs().SaveStep(r.ctx, first, "s", nil), stem.ErrLeaseLost)
			r.noError(r.runs().SaveStep(r.ctx, second, "s", nil))
		}},
		{rule: "renewing extends a claim, also one that expired and that nobody took", run: func(r *rig) {
			r.start("a")
			l := r.holdFor("a", owner1, r.lease)
			r.noError(r.runs().Renew(r.ctx, l, 100*r.lease))
			r.pass(2 * r.lease)
			r.refusedClaim("a", owner2)
			r.noError(r.runs().Renew(r.ctx, l, r.lease/2))
			r.pass(r.lease)
			r.noError(r.runs().Renew(r.ctx, l, time.Hour))
			r.refusedClaim("a", owner2)
		}},
		{rule: "of concurrent owners one claims a run", run: func(r *rig) {
			r.start("a")
			runs := r.runs()
			var mu sync.Mutex
			var winners []string
			var wg sync.WaitGroup
			for _, owner := range []string{"n1/b", "n2/b", "n3/b", "n4/b", "n5/b", "n6/b"} {
				wg.Go(func() {
					_, ok, err := runs.Claim(r.ctx, "a", owner, time.Hour)
					if err != nil {
						r.Error(err)
					}
					if ok {
						mu.Lock()
						winners = append(winners, owner)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if len(winners) != 1 || r.loadRun("a").Owner != winners[0] {
				r.Errorf("winners are %v", winners)
			}
		}},
		{rule: "runs that are suspended or have ended are not runnable and can not be claimed", run: func(r *rig) {
			for _, id := range []string{"a", "asleep", "waits", "over"} {
				r.start(id)
			}
			r.noError(r.runs().Suspend(r.ctx, unclaimed("asleep"), workflow.Suspension{Step: "s", ResumeAt: r.now()}))
			r.noError(r.runs().Suspend(r.ctx, unclaimed("waits"), workflow.Suspension{Step: "s", Topic: "t"}))
			r.noError(r.runs().Complete(r.ctx, unclaimed("over"), nil))
			r.inOrder(r.runnable(), "a")
			for _, id := range []string{"asleep", "waits", "over"} {
				r.refusedClaim(id, owner1)
			}
		}},
	}
}

func (r *rig) runs() *workflow.Store { return workflow.NewStore(r.store.Records, r.now) }

func (r *rig) start(id string) *workflow.Run {
	r.Helper()
	run, err := r.runs().Create(r.ctx, workflow.Run{ID: id, Workflow: "order", Params: []byte("params")})
	r.noError(err)
	return run
}

func (r *rig) loadRun(id string) *workflow.Run {
	r.Helper()
	run, err := r.runs().Load(r.ctx, id)
	r.noError(err)
	return run
}

// unclaimed is what writes of a run that nobody has claimed go by.
func unclaimed(id string) workflow.Lease { return workflow.Lease{RunID: id} }

func (r *rig) hold(id, owner string) workflow.Lease {
	r.Helper()
	return r.holdFor(id, owner, time.Minute)
}

func (r *rig) holdFor(id, owner string, d time.Duration) workflow.Lease {
	r.Helper()
	l, ok, err := r.runs().Claim(r.ctx, id, owner, d)
	r.noError(err)
	if !ok {
		r.Fatalf("%s can not claim %s", owner, id)
	}
	return l
}

func (r *rig) refusedClaim(id, owner string) {
	r.Helper()
	if _, ok, err := r.runs().Claim(r.ctx, id, owner, time.Minute); ok || err != nil {
		r.Fatalf("%s claims %s: %t, %v", owner, id, ok, err)
	}
}

func (r *rig) runnable() []string {
	r.Helper()
	out, err := r.runs().Runnable(r.ctx, 0)
	r.noError(err)
	return slices.Clip(append([]string{}, out...))
}

func (r *rig) listRuns(q workflow.Query) []string {
	r.Helper()
	out := []string{}
	for {
		page, err := r.runs().List(r.ctx, q)
		r.noError(err)
		for _, run := range page.Items {
			out = append(out, run.ID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out
		}
	}
}
