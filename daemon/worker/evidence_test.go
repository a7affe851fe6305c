package worker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

func (r *rig) evidence(id string) []stem.Evidence {
	r.Helper()
	found, err := stem.EvidenceOf(r.ctx, r.store, id)
	if err != nil {
		r.Fatal(err)
	}
	return found
}

func crashing(_ context.Context, a plugin.Attempt, sink plugin.Sink) plugin.Outcome {
	sink.Progress(a, plugin.Progress{Percent: 40, Data: []byte(`{"page":2}`)})
	code, o := 4, failed(stem.ClassExit)
	o.Pid, o.Error.ExitCode = 7, &code
	o.Evidence = &plugin.Evidence{Version: "1.0.0", SHA256: "9f2c", ExitCode: &code, PeakRSS: 1 << 20, Stderr: fmt.Sprintf("last words of attempt %d\n", a.Attempt), Stack: "goroutine 1"}
	return o
}

func TestEveryFailedAttemptLeavesEvidenceAlsoOverAReplay(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("t")
		run.handle = crashing
		d := r.start([]Pool{run.pool("p", func(p *Pool) { p.Policy.Crashes = ptr(2) })})
		r.put("a", "t", stem.MaxRetries(5), stem.HardLimit(time.Minute))
		r.pass(time.Hour)
		r.dead("a poison")
		es := r.evidence("a")
		if len(es) != 2 {
			t.Fatalf("%d attempts, want 2: %+v", len(es), es)
		}
		e := es[0]
		if e.Class != stem.ClassExit || *e.ExitCode != 4 || !e.Counted || e.Then != "retried" || e.DueAt.IsZero() || e.Worker != "node" || e.Pool != "p" || e.Pid != 7 ||
			e.Limits["hard"] != "1m0s" || string(e.Progress) != `{"data":{"page":2},"percent":40}` || e.Version != "1.0.0" || e.PeakRSS != 1<<20 || e.StartedAt.IsZero() {
			t.Errorf("first attempt %+v", e)
		}
		if e.Output == nil || e.Output.Stderr != "last words of attempt 0\n" || e.Output.Stack != "goroutine 1" {
			t.Errorf("output %+v", e.Output)
		}
		if es[1].Then != "failed" || es[1].Reason != stem.ReasonPoison || es[1].Attempt != 1 {
			t.Errorf("last attempt %+v", es[1])
		}
		if _, err := r.look.Replay(r.ctx, stem.Replay{}); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Hour)
		if es = r.evidence("a"); len(es) != 4 || es[2].Replays != 1 || es[2].Attempt != 0 {
			t.Errorf("after a replay: %+v", es)
		}
		if n := d.Stats().Classes[stem.ClassExit]; n != 4 {
			t.Errorf("%d exits counted", n)
		}
		r.stop(d, Warm)
	})
}

func TestATaskKeepsTheEvidenceOfItsLatestAttempts(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("t")
		run.handle = crashing
		d := r.start([]Pool{run.pool("p", func(p *Pool) { p.Policy.Crashes = ptr(0) })})
		r.put("a", "t", stem.MaxRetries(14), stem.RetryWith(stem.RetryPolicy{DefaultDelay: time.Second}))
		r.pass(time.Hour)
		r.dead("a max-retries-exhausted")
		es := r.evidence("a")
		if len(es) != stem.EvidenceKept || es[0].Attempt != 5 || es[9].Attempt != 14 || es[9].Output == nil {
			t.Errorf("kept %d, first of attempt %d", len(es), es[0].Attempt)
		}
		page, err := r.store.Records.List(r.ctx, stem.RecordQuery{Kind: stem.KindOutput})
		if err != nil || len(page.Items) != stem.EvidenceKept {
			t.Errorf("%d outputs, %v", len(page.Items), err)
		}
		r.stop(d, Warm)
	})
}

func TestEvidenceOfInterruptedAttemptsSaysThatTheyDidNotCount(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("t")
		run.handle = func(_ context.Context, a plugin.Attempt, _ plugin.Sink) plugin.Outcome {
			if len(run.runs()) > 1 {
				return succeeded()
			}
			o := failed(stem.ClassCollateral)
			o.Kind = plugin.NotRun
			return o
		}
		d := r.start([]Pool{run.pool("p")})
		r.put("a", "t")
		r.pass(time.Minute)
		r.state("a", stem.Succeeded)
		if es := r.evidence("a"); len(es) != 1 || es[0].Counted || es[0].Then != "released" || es[0].Class != stem.ClassCollateral {
			t.Errorf("got %+v", es)
		}
		r.stop(d, Warm)
	})
}

func TestOutputsOfANameAreBoundedAndTheOldestGoFirst(t *testing.T) {
	var o outputs
	ref := func(n int) stem.RecordRef { return stem.RecordRef{ID: fmt.Sprint(n)} }
	for n := range outputsPerName {
		if old, ok := o.add("t", ref(n)); old != nil || !ok {
			t.Fatalf("output %d: %v %v", n, old, ok)
		}
	}
	for n := range 3 {
		if old, ok := o.add("t", ref(outputsPerName+n)); !ok || old == nil || old.ID != fmt.Sprint(n) {
			t.Errorf("dropped %v, want %d", old, n)
		}
	}
	for n := range namesMax {
		o.add(fmt.Sprint("name", n), ref(n))
	}
	if _, ok := o.add("one name more", ref(0)); ok || o.count() != 3+2 {
		t.Errorf("%v, %d dropped", ok, o.count())
	}
}

func TestWhatCanNotBeCompressedIsCutToItsBound(t *testing.T) {
	noise := make([]byte, 400<<10)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = '!' + byte(state>>24)%90
	}
	b, err := stem.EncodeEvidenceOutput(stem.EvidenceOutput{Stderr: string(noise) + "the end", Stack: "goroutine 1"})
	if err != nil || len(b) > stem.MaxEvidence {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	out, err := stem.DecodeEvidenceOutput(b)
	if err != nil || !strings.HasSuffix(out.Stderr, "the end") || !strings.HasPrefix("goroutine 1", out.Stack) {
		t.Errorf("%d bytes of stderr, stack %q, %v", len(out.Stderr), out.Stack, err)
	}
}
