package host

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatDeathsInARowCost(t *testing.T) {
	r := Restart{Attempts: 3}
	for _, c := range []struct {
		what   string
		deaths []verdict
		held   int // the last one, for so many bad ends
		barred bool
	}{
		{"the first is free", []verdict{unexplained}, 0, false},
		{"the second waits", []verdict{unexplained, unexplained}, 1, false},
		{"too many end in quarantine", []verdict{unexplained, unexplained, unexplained}, 2, true},
		{"what we killed counts for nothing", []verdict{unexplained, innocent, innocent, innocent}, 0, false},
		{"and forgives nothing", []verdict{unexplained, innocent, unexplained}, 1, false},
		{"work between them forgives all but one", []verdict{unexplained, unexplained, proved, unexplained}, 1, false},
		{"twenty by tasks are free", repeat(tasksDoing, 2*tasksWeight), 0, false},
		{"of a plugin that dies of everything they end in quarantine", repeat(tasksDoing, 3*tasksWeight), 2, true},
		{"and there they wait", repeat(tasksDoing, 3*tasksWeight+1), 3, true},
		{"work begins their count anew", append(append(repeat(tasksDoing, 3*tasksWeight-1), proved), tasksDoing), 0, false},
	} {
		var h health
		held := 0
		for i, v := range c.deaths {
			held = h.judge(v, []string{fmt.Sprint(i)}, r)
		}
		if held != c.held || h.ailing(r) != c.barred {
			t.Errorf("%s: held back for %d and quarantined %v, want %d and %v", c.what, held, h.ailing(r), c.held, c.barred)
		}
	}
}

func repeat(v verdict, n int) []verdict {
	all := make([]verdict, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// Deadly tasks, tried again and again, never hold a pool back that does something in between, and no plugin that dies of whatever it is
// given runs for ever.
func TestDeadlyTasksHoldUpNobodyWhileOthersAreDone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Restart{Attempts: rapid.IntRange(2, 8).Draw(t, "attempts")}
		var h health
		row := map[string]bool{} // tasks that killed since something was done
		for range rapid.IntRange(1, 300).Draw(t, "deaths") {
			v := rapid.SampledFrom([]verdict{innocent, proved, tasksDoing, tasksDoing, tasksDoing}).Draw(t, "verdict")
			id := fmt.Sprint(rapid.IntRange(1, 200).Draw(t, "task"))
			if v == tasksDoing && len(row) == tasksWeight*(r.Attempts-1)-1 && !row[id] {
				v = proved
			}
			switch v {
			case tasksDoing:
				row[id] = true
			case proved:
				clear(row)
			}
			if held := h.judge(v, []string{id}, r); held != 0 || h.ailing(r) {
				t.Fatalf("held back for %d after deaths by %d tasks in a row", held, len(row))
			}
		}
		for n := 0; !h.ailing(r); n++ {
			if n > tasksWeight*r.Attempts {
				t.Fatalf("%d deaths in a row and no quarantine", n)
			}
			h.judge(tasksDoing, []string{fmt.Sprint("new ", n)}, r)
		}
		if len(h.deadly) > tasksWeight*r.Attempts {
			t.Fatalf("%d ids are kept", len(h.deadly))
		}
	})
}
