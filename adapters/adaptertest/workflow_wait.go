package adaptertest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/workflow"
)

func suspendCases() []testCase {
	return []testCase{
		{rule: "a sleeping run is due at its time, once, and runs again when it is resumed", run: func(r *rig) {
			r.asleep("a", r.span)
			if got := r.loadRun("a"); got.Status != workflow.Suspended || got.Suspension.ResumeAt.IsZero() {
				r.Errorf("run is %+v", got)
			}
			r.due()
			r.pass(r.span)
			r.due("a")
			r.due()
			got, err := r.runs().Resume(r.ctx, "a", []byte("true"))
			r.noError(err)
			if got.Status != workflow.Running || !got.Suspension.ResumeAt.IsZero() || string(got.Suspension.Payload) != "true" {
				r.Errorf("run is %+v, %+v", got, got.Suspension)
			}
			r.pass(r.span)
			r.due()
			r.hold("a", owner1)
		}},
		{rule: "a run that was due and is not resumed is due again: whoever took it may have died", needs: settable, run: func(r *rig) {
			r.asleep("a", r.span)
			r.pass(r.span)
			r.due("a")
			r.pass(workflow.WakeLease)
			r.due("a")
		}},
		{rule: "runs are due earliest first, and what is over the limit is due later", run: func(r *rig) {
			for i, id := range []string{"c", "a", "b"} {
				r.asleep(id, r.span/4*time.Duration([]int{3, 1, 2}[i]))
			}
			r.pass(r.span)
			got, err := r.runs().Due(r.ctx, 2)
			r.noError(err)
			r.inOrder(got, "a", "b")
			r.due("c")
		}},
		{rule: "of concurrent callers one is told that a run is due", run: func(r *rig) {
			const many = 12
			for i := range many {
				r.asleep(fmt.Sprintf("r%d", i), 0)
			}
			r.pass(r.span)
			var mu sync.Mutex
			var told []string
			var wg sync.WaitGroup
			runs := r.runs()
			for range 3 {
				wg.Go(func() {
					got, err := runs.Due(r.ctx, 0)
					if err != nil {
						r.Error(err)
					}
					mu.Lock()
					told = append(told, got...)
					mu.Unlock()
				})
			}
			wg.Wait()
			slices.Sort(told)
			if len(told) != many || len(slices.Compact(told)) != many {
				r.Errorf("told %v", told)
			}
		}},
		{rule: "a suspension ends the claim with the same write, so the run can be claimed as soon as it is resumed", run: func(r *rig) {
			r.start("a")
			l := r.hold("a", owner1)
			r.noError(r.runs().Suspend(r.ctx, l, workflow.Suspension{Step: "s", ResumeAt: r.now()}))
			_, err := r.runs().Resume(r.ctx, "a", nil)
			r.noError(err)
			r.hold("a", owner2)
			r.isError(r.runs().SaveStep(r.ctx, l, "s", nil), stem.ErrLeaseLost)
		}},
		{rule: "a suspension keeps its step, iteration and data", run: func(r *rig) {
			r.start("a")
			r.noError(r.runs().Suspend(r.ctx, unclaimed("a"), workflow.Suspension{Step: "poll", Iteration: 2, Checkpoint: "poll#2", ResumeAt: r.now(), Data: []byte(`{"n":1}`)}))
			at := r.loadRun("a").Suspension
			if at == nil || at.Step != "poll" || at.Iteration != 2 || at.Checkpoint != "poll#2" || string(at.Data) != `{"n":1}` {
				r.Errorf("suspension is %+v", at)
			}
			r.near("suspended", at.SuspendedAt, r.now())
		}},
		{rule: "a run that would wait for nothing is not suspended", run: func(r *rig) {
			r.start("a")
			if err := r.runs().Suspend(r.ctx, unclaimed("a"), workflow.Suspension{Step: "s"}); err == nil {
				r.Error("it was accepted")
			}
			if got := r.loadRun("a"); got.Status != workflow.Running {
				r.Errorf("run is %+v", got)
			}
		}},
		{rule: "a cancelled run neither sleeps nor waits", run: func(r *rig) {
			r.asleep("a", r.span)
			r.await("b", "t")
			r.noError(r.runs().Cancel(r.ctx, "a", ""))
			r.noError(r.runs().Cancel(r.ctx, "b", ""))
			r.pass(r.span)
			r.due()
			r.waiters("t")
			r.inOrder(r.deliver("t", "x"))
		}},
	}
}

func workflowEventCases() []testCase {
	return []testCase{
		{rule: "a run waits for an event of its topic and no other, and tells its deadline and data", run: func(r *rig) {
			r.start("a")
			deadline := r.now().Add(r.span).UTC()
			r.noError(r.runs().Suspend(r.ctx, unclaimed("a"), workflow.Suspension{Step: "pay", Topic: "paid", ResumeAt: deadline, Data: []byte(`1`)}))
			r.await("b", "shipped")
			page, err := r.runs().Waiting(r.ctx, "paid", 0, "")
			r.noError(err)
			if len(page.Items) != 1 || page.Items[0].ID != "a" {
				r.Fatalf("waiting are %+v", page.Items)
			}
			if at := page.Items[0].Suspension; at.Step != "pay" || !at.ResumeAt.Equal(deadline) || string(at.Data) != "1" {
				r.Errorf("it waits for %+v", at)
			}
			r.waiters("shipped", "b")
			r.waiters("nothing")
		}},
		{rule: "an event is given to each run that waits, exactly once", run: func(r *rig) {
			r.await("a", "t")
			r.await("b", "t")
			r.await("c", "other")
			got := r.deliver("t", "payload")
			slices.Sort(got)
			r.inOrder(got, "a", "b")
			r.inOrder(r.deliver("t", "again"))
			r.waiters("t")
			at := r.loadRun("a").Suspension
			if string(at.Payload) != "payload" || at.Topic != "t" || at.DeliveredAt.IsZero() {
				r.Errorf("suspension is %+v", at)
			}
			run, err := r.runs().Resume(r.ctx, "a", []byte("timed out"))
			r.noError(err)
			if run.Status != workflow.Running || string(run.Suspension.Payload) != "payload" {
				r.Errorf("run is %+v, %+v", run, run.Suspension)
			}
		}},
		{rule: "of concurrent events one is given to a run", run: func(r *rig) {
			for i := range 8 {
				r.await(fmt.Sprintf("r%d", i), "t")
			}
			var mu sync.Mutex
			var given []string
			var wg sync.WaitGroup
			runs := r.runs()
			for i := range 3 {
				wg.Go(func() {
					for {
						got, err := runs.Deliver(r.ctx, "t", fmt.Append(nil, i), 0)
						if err != nil {
							r.Error(err)
						}
						if len(got) == 0 {
							return
						}
						mu.Lock()
						for _, run := range got {
							given = append(given, run.ID)
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			slices.Sort(given)
			if len(given) != 8 || len(slices.Compact(given)) != 8 {
				r.Errorf("given to %v", given)
			}
		}},
		{rule: "a run whose event was delivered and that nobody resumed is due: whoever delivered it may have died", needs: settable, run: func(r *rig) {
			r.await("a", "t")
			r.inOrder(r.deliver("t", "x"), "a")
			r.due()
			r.pass(workflow.WakeLease)
			r.due("a")
			if at := r.loadRun("a").Suspension; string(at.Payload) != "x" {
				r.Errorf("suspension is %+v", at)
			}
		}},
		{rule: "a deadline that passes without its event makes the run due, and the event still counts until it is resumed", run: func(r *rig) {
			r.start("a")
			r.noError(r.runs().Suspend(r.ctx, unclaimed("a"), workflow.Suspension{Step: "s", Topic: "t", ResumeAt: r.now().Add(r.span)}))
			r.pass(r.span)
			r.due("a")
			r.waiters("t", "a")
			_, err := r.runs().Resume(r.ctx, "a", []byte("timed out"))
			r.noError(err)
			r.waiters("t")
			r.inOrder(r.deliver("t", "late"))
			if at := r.loadRun("a").Suspension; string(at.Payload) != "timed out" {
				r.Errorf("suspension is %+v", at)
			}
		}},
		{rule: "many runs wait for one topic, and are found and woken in pages", run: func(r *rig) {
			const many = 50
			for i := range many {
				r.await(fmt.Sprintf("r%d", i), "t")
			}
			if n := len(r.waitFor("t")); n != many {
				r.Errorf("waiting are %d", n)
			}
			total := 0
			for {
				n := len(r.deliver("t", "x"))
				if n == 0 {
					break
				}
				total += n
			}
			if total != many {
				r.Errorf("woke %d", total)
			}
		}},
		{rule: "what a run waits for outlives the handle that wrote it", needs: sibling, run: func(r *rig) {
			r.await("a", "t")
			r.asleep("b", r.span)
			there := r.sibling()
			r.noError(r.store.Close())
			r.store = there
			r.inOrder(r.deliver("t", "x"), "a")
			r.pass(r.span)
			got, err := r.runs().Due(r.ctx, 0)
			r.noError(err)
			if !slices.Contains(got, "b") {
				r.Errorf("due are %v", got)
			}
		}},
	}
}

// await starts a run that waits for an event.
func (r *rig) await(id, topic string) {
	r.Helper()
	r.start(id)
	r.noError(r.runs().Suspend(r.ctx, unclaimed(id), workflow.Suspension{Step: "wait", Checkpoint: "wait", Topic: topic}))
}

func (r *rig) deliver(topic, payload string) []string {
	r.Helper()
	runs, err := r.runs().Deliver(r.ctx, topic, []byte(payload), 20)
	r.noError(err)
	out := []string{}
	for _, run := range runs {
		out = append(out, run.ID)
	}
	return out
}

func (r *rig) waitFor(topic string) []string {
	r.Helper()
	out := []string{}
	for cursor := ""; ; {
		page, err := r.runs().Waiting(r.ctx, topic, 20, cursor)
		r.noError(err)
		for _, run := range page.Items {
			out = append(out, run.ID)
		}
		if cursor = page.Next; cursor == "" {
			return out
		}
	}
}

func (r *rig) waiters(topic string, want ...string) {
	r.Helper()
	r.inOrder(r.waitFor(topic), want...)
}
