package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

func TestOfThoseThatRanTogetherOnlyTheOneThatCrashesAloneIsBlamed(t *testing.T) {
	for _, mode := range []string{"", "plain"} { // with a register and without
		r := up(t, mode, func(c *host.Config) { c.PerProcess = 8 })
		var innocent []string
		open := filepath.Join(t.TempDir(), "open")
		for range 6 {
			innocent = append(innocent, r.give("await "+open))
		}
		r.until(t, "all six to run", func() bool { return len(r.progress) == 6 })
		guilty := r.give("kill")
		r.untilSaid("each runs once more, alone")
		if err := os.WriteFile(open, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		o := r.outcome(t, guilty)
		wantFailure(t, o, stem.ClassCrash, "signal: killed")
		for _, id := range innocent {
			o := r.outcome(t, id)
			if o.Kind == plugin.Failure {
				t.Errorf("%q: an innocent is blamed: %v", mode, o.Error)
			}
		}
		r.untilUp()
		r.until(t, "the process to be in common use again", func() bool { return r.Free() >= 8 })
		a, b := r.give("stubborn 10ms"), r.give("stubborn 10ms")
		if r.outcome(t, a).Kind != plugin.Success || r.outcome(t, b).Kind != plugin.Success {
			t.Errorf("%q: after the suspects the pool should run tasks as before", mode)
		}
	}
}

func TestATaskThatKillsItsProcessAfterItReturnedIsFoundOut(t *testing.T) {
	r := up(t, "", nil)
	for epoch := stem.Epoch(1); epoch <= 3; epoch++ { // as a worker would: given back, it is claimed again
		r.untilUp()
		r.Start([]plugin.Attempt{{ID: "late", Name: "late-exit", Epoch: epoch, Body: []byte("late-exit")}})
		var o plugin.Outcome
		r.until(t, "its end", func() bool {
			if len(r.outcomes) > 0 {
				o = r.outcomes[len(r.outcomes)-1]
			}
			return o.Attempt.Epoch == epoch
		})
		if o.Kind == plugin.NotRun && epoch == 1 {
			continue // it had returned, its outcome was lost: once is an accident
		}
		wantFailure(t, o, stem.ClassExit, "exit status 5")
		return
	}
}

// wantClass is for attempts that may or may not have begun again.
func wantClass(t *testing.T, o plugin.Outcome, class stem.Class) {
	t.Helper()
	if o.Error == nil || o.Error.Class != class {
		t.Fatalf("got kind %d, error %+v; want class %s", o.Kind, o.Error, class)
	}
}

// wardRig has one process, busy with a suspect for an hour, and one more suspect waiting.
func wardRig(t *testing.T) (r *rig, runs, waits string) {
	t.Helper()
	r = up(t, "", func(c *host.Config) { c.PerProcess, c.Grace = 4, 100*time.Millisecond })
	ids := []string{r.give("stuck"), r.give("stuck")}
	r.until(t, "both to run", func() bool { return len(r.progress) == 2 })
	crash := r.give("exit")
	// The first runs alone and is cancelled, so that the culprit's turn comes.
	r.until(t, "the suspects", func() bool { return strings.Contains(r.log.String(), "tasks=3") && r.Stats().Up == 1 })
	r.Cancel(ids[0], 1, "cancelled", true)
	wantClass(t, r.outcome(t, ids[0]), stem.ClassCancelled)
	return r, ids[1], crash
}

func TestASuspectThatWaitsCanBeCancelledAndTakenBack(t *testing.T) {
	r, runs, waits := wardRig(t)
	if n := r.Stats().Inflight; n != 2 {
		t.Errorf("%d in flight, want the one that runs and the one that waits", n)
	}
	r.Cancel(waits, 1, "cancelled", false)
	wantNotRun(t, r.outcome(t, waits), stem.ClassCancelled)
	r.Cancel(runs, 1, "cancelled", true)
	wantClass(t, r.outcome(t, runs), stem.ClassCancelled)

	r, runs, waits = wardRig(t)
	r.Recall()
	wantNotRun(t, r.outcome(t, waits), stem.ClassDrain)
	r.stop()
	wantNotRun(t, r.outcome(t, runs), stem.ClassDrain)
}

func TestASuspectWhoseProgramIsGoneIsGivenBack(t *testing.T) {
	path := copySelf(t)
	r := up(t, "", func(c *host.Config) { c.Command, c.PerProcess = []string{path}, 4 })
	a := r.give("stuck")
	r.until(t, "it to run", func() bool { return len(r.progress) == 1 })
	remove(t, path)
	b := r.give("exit")
	wantNotRun(t, r.outcome(t, a), stem.ClassDrain)
	wantNotRun(t, r.outcome(t, b), stem.ClassDrain)
}
