package adapters_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
)

// victim in the environment makes a test binary the process that works once on the files of a directory and kills itself at a call.
const victim = "STEM_TEST_VICTIM"

// A process of its own works on a broker and records in one file and results in another, and is killed before or after its n-th
// call to them, for every n there is. Whatever was done twice, nothing is lost.
func TestAProcessKilledBetweenAnyTwoStepsOnTwoFilesRepeatsWorkAndLosesNothing(t *testing.T) {
	if order := os.Getenv(victim); order != "" {
		beVictim(t, order)
		return
	}
	for _, perform := range []bool{false, true} {
		t.Run(fmt.Sprintf("the last call carried out: %t", perform), func(t *testing.T) {
			dieAt := 1
			for ; killAndRepeat(t, dieAt, perform); dieAt++ {
			}
			if dieAt < 10 {
				t.Errorf("a process that lives made %d calls", dieAt-1)
			}
		})
	}
}

// killAndRepeat says whether the process was killed at all.
func killAndRepeat(t *testing.T, dieAt int, perform bool) bool {
	dir := t.TempDir()
	before := twoFiles(t, dir, time.Now)
	callback := before.message("callback")
	callback.Queue = "children"
	if err := before.results.Results.OpenGroups(t.Context(), stem.Group{ID: "g", Members: []string{"a"}, Callback: &callback}); err != nil {
		t.Fatal(err)
	}
	if _, err := before.through(&process{}).Broker.Publish(t.Context(), before.message("a")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestAProcessKilledBetweenAnyTwoSteps")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %t %s", victim, dieAt, perform, dir))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL:
		t.Fatalf("the process that is to die at call %d: %v\n%s", dieAt, err, out)
	}
	after := twoFiles(t, dir, func() time.Time { return time.Now().Add(stem.DefaultLease + time.Second) })
	after.runs = 1 // the one that was killed, if it had come to run
	after.recover(dieAt)
	return true
}

func beVictim(t *testing.T, order string) {
	p := &process{die: func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}}
	var dir string
	if _, err := fmt.Sscanf(order, "%d %t %s", &p.dieAt, &p.perform, &dir); err != nil {
		t.Fatal(err)
	}
	f := twoFiles(t, dir, time.Now)
	if worked, err := f.work(f.through(p)); err != nil || !worked {
		t.Fatalf("worked %t: %v", worked, err)
	}
}

// twoFiles is a farm on the two files of a directory.
func twoFiles(t *testing.T, dir string, now func() time.Time) *farm {
	t.Helper()
	open := func(name string) stem.Store {
		s, err := sqlite.Open(t.Context(), "sqlite://"+filepath.Join(dir, name), func(o *stem.StoreOptions) { o.Now = now })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	f := &farm{T: t, broker: open("broker.db"), results: open("results.db")}
	f.records = f.broker
	return f
}
