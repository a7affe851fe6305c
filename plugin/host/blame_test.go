package host

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/register"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// Five attempts: 1 returned, 2 and 3 run (3 with a hard limit of 1 s, for 2 s), 4 and 5 never started.
func fiveHeld() ([]*held, map[uint64]register.Entry) {
	var lost []*held
	for seq := uint64(5); seq > 0; seq-- {
		lost = append(lost, &held{seq: seq, sent: noon.Add(-3 * time.Second), Attempt: plugin.Attempt{ID: string(rune('0' + seq))}})
	}
	lost[2].Hard = time.Second
	return lost, map[uint64]register.Entry{
		1: {Seq: 1, State: register.Done, Started: noon.Add(-time.Minute)},
		2: {Seq: 2, State: register.Running, Started: noon.Add(-2 * time.Second)},
		3: {Seq: 3, State: register.Running, Started: noon.Add(-2 * time.Second)},
		9: {Seq: 9, State: register.Done, Started: noon},
	}
}

// verdicts writes, in the order of the attempts, "class" for failures, "(class)" for attempts that do not count and "?" for
// suspects.
func verdicts(out []plugin.Outcome, suspects []*held) string {
	words := make([]string, len(out)+len(suspects))
	for _, o := range out {
		word := string(o.Error.Class)
		if o.Kind == plugin.NotRun {
			word = "(" + word + ")"
		}
		words[o.Attempt.ID[0]-'1'] = word
	}
	for _, h := range suspects {
		words[h.ID[0]-'1'] = "?"
	}
	return strings.Join(words, " ")
}

func TestBlameFallsOnWhatTheRegisterSaysRan(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*death)
		want   string
	}{
		"a crash": {
			func(d *death) { d.signal, d.exit = syscall.SIGSEGV, "signal: segmentation fault" },
			"(collateral) ? ? (collateral) (collateral)",
		},
		"an exit":         {func(d *death) { d.exit = "exit status 1" }, "(collateral) ? ? (collateral) (collateral)"},
		"an OOM kill":     {func(d *death) { d.signal, d.oom = syscall.SIGKILL, true }, "(collateral) ? ? (collateral) (collateral)"},
		"a hard limit":    {func(d *death) { d.cause = cause{kind: causeHard, seq: 3} }, "(collateral) (collateral) timeout (collateral) (collateral)"},
		"a forced cancel": {func(d *death) { d.cause = cause{kind: causeCancel, seq: 2, why: "cancelled"} }, "(collateral) cancelled (collateral) (collateral) (collateral)"},
		"a forced cancel of one not started": {
			func(d *death) { d.cause = cause{kind: causeCancel, seq: 5, why: "cancelled"} },
			"(collateral) (collateral) (collateral) (collateral) cancelled",
		},
		"a lost lease":      {func(d *death) { d.cause = cause{kind: causeCancel, seq: 2, why: "lost-lease"} }, "(collateral) lost_lease (collateral) (collateral) (collateral)"},
		"a forced shutdown": {func(d *death) { d.cause = cause{kind: causeCancel, seq: 2, why: "shutdown"} }, "(collateral) (drain) (collateral) (collateral) (collateral)"},
		"a stop":            {func(d *death) { d.cause = cause{kind: causeStop}; d.drained = true }, "(drain) (drain) (drain) (drain) (drain)"},
		"an exit when asked to end": {
			func(d *death) { d.drained, d.exit = true, "exit status 0" },
			"(drain) (drain) (drain) (drain) (drain)",
		},
		"a crash while it was ending": {
			func(d *death) { d.drained, d.signal = true, syscall.SIGSEGV },
			"(collateral) ? ? (collateral) (collateral)",
		},
		"a frame that was refused while others run": {func(d *death) { d.cause.kind = causeFrame }, "(collateral) ? ? (collateral) (collateral)"},
		"a frame that was refused when nothing runs": {
			func(d *death) {
				d.cause.kind = causeFrame
				delete(d.entries, 2)
				delete(d.entries, 3)
			},
			"crash (collateral) (collateral) (collateral) (collateral)",
		},
		"a crash while one runs": {
			func(d *death) { d.signal = syscall.SIGSEGV; delete(d.entries, 3); delete(d.entries, 1) },
			"(collateral) crash (collateral) (collateral) (collateral)",
		},
		"a crash while one runs and one had just returned": {
			func(d *death) { d.signal = syscall.SIGSEGV; delete(d.entries, 3) },
			"(collateral) ? (collateral) (collateral) (collateral)",
		},
		"an OOM kill while one runs": {
			func(d *death) {
				d.signal, d.oom = syscall.SIGKILL, true
				delete(d.entries, 1)
				delete(d.entries, 3)
			},
			"(collateral) oom (collateral) (collateral) (collateral)",
		},
		"a crash while none runs": {
			func(d *death) { d.signal = syscall.SIGSEGV; delete(d.entries, 2); delete(d.entries, 3) },
			"(collateral) (collateral) (collateral) (collateral) (collateral)",
		},
		"a process that outlived its session": {func(d *death) { d.cause.kind = causeBroken }, "(collateral) ? ? (collateral) (collateral)"},
		"a crash with no register": {
			func(d *death) { d.signal, d.entries = syscall.SIGSEGV, nil },
			"? ? ? ? ?",
		},
	} {
		t.Run(name, func(t *testing.T) {
			lost, entries := fiveHeld()
			d := death{pid: 7, at: noon, entries: entries, words: "boom"}
			c.change(&d)
			out, suspects := blame(d, lost)
			if got := verdicts(out, suspects); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			for _, o := range out {
				if o.Pid != 7 || o.Kind == plugin.Failure && o.Started.IsZero() && o.Error.Class != stem.ClassCancelled {
					t.Errorf("outcome of %s has no pid or start: %+v", o.Attempt.ID, o)
				}
			}
		})
	}
}

func TestWhoReturnsAndDiesAgainAndAgainIsSuspected(t *testing.T) {
	crash := death{pid: 7, at: noon, signal: syscall.SIGSEGV, exit: "signal: segmentation fault"}
	one := func(state register.State) (*held, death) {
		d := crash
		d.entries = map[uint64]register.Entry{1: {Seq: 1, State: state, Started: noon}}
		return &held{seq: 1, Attempt: plugin.Attempt{ID: "1"}}, d
	}
	var w ward
	for i, want := range []string{"(collateral)", "?"} {
		h, d := one(register.Done)
		w.recall(d, []*held{h})
		if got := verdicts(blame(d, []*held{h})); got != want {
			t.Errorf("death %d: got %s, want %s", i, got, want)
		}
	}
	for _, state := range []register.State{register.Done, register.Running} {
		h, d := one(state)
		h.alone = true
		w.recall(d, []*held{h})
		if got := verdicts(blame(d, []*held{h})); got != "crash" {
			t.Errorf("alone in state %d: got %s", state, got)
		}
	}
	h, d := one(register.Done)
	d.cause.kind = causeHard // killed by us, for another's limit
	for range 3 {
		w.recall(d, []*held{h})
		if got := verdicts(blame(d, []*held{h})); got != "(collateral)" {
			t.Errorf("after a kill of ours: got %s", got)
		}
	}
	for n := range 2 * maxReturned {
		h, d := one(register.Done)
		h.ID = fmt.Sprint(n)
		w.recall(d, []*held{h})
	}
	if len(w.returned) > maxReturned {
		t.Errorf("%d are remembered, want at most %d", len(w.returned), maxReturned)
	}
}

func TestATimeoutSaysItsLimitAndWhatItTook(t *testing.T) {
	lost, entries := fiveHeld()
	out, _ := blame(death{pid: 7, at: noon, cause: cause{kind: causeHard, seq: 3}, entries: entries}, lost)
	if got, want := out[2].Error.Message, "hard limit 1s exceeded; killed pid 7 after 2.000s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestANameIsFastOnlyAfterEnoughFastRuns(t *testing.T) {
	s := newSpeeds()
	is := func(want pace, why string) {
		t.Helper()
		if got := s.of([]plugin.Attempt{{Name: "a"}})[0]; got != want {
			t.Errorf("pace %d, want %d: %s", got, want, why)
		}
	}
	learn := func(n int, took time.Duration) {
		for range n {
			s.learn([]run{{"a", took}})
		}
	}
	is(slow, "a name never seen")
	learn(learnFrom-1, 2*time.Millisecond)
	is(slow, "too little history")
	learn(1, 2*time.Millisecond)
	is(fast, "eight runs of 2 ms")
	learn(200, 100*time.Microsecond)
	is(brisk, "runs of 0.1 ms")
	learn(1, time.Hour)
	is(slow, "a hanging run stops the sending ahead")
	learn(200, 2*time.Millisecond)
	is(fast, "one hanging run does not count for ever")
	learn(50, 10*time.Millisecond)
	is(slow, "runs of 10 ms")
}

func TestBackoffDoublesToItsCapWithLittleJitter(t *testing.T) {
	p := &Pool{cfg: Config{Restart: Restart{Delay: time.Second, MaxDelay: 30 * time.Second}}}
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: 30 * time.Second, 1000: 30 * time.Second} {
		for range 50 {
			if got := p.backoff(n); got > want || got < want*3/4 {
				t.Errorf("wait %d is %v, want %v less a quarter at most", n, got, want)
			}
		}
	}
}

func TestLastWordsKeepTheAnnouncementOfADeathAndTheEnd(t *testing.T) {
	noise := strings.Repeat("some line of output\n", 500)
	for name, c := range map[string]struct{ printed, starts, ends string }{
		"little":            {"a\nb\n", "a\nb", "a\nb"},
		"much":              {noise + "the end", "some line", "the end"},
		"a long panic":      {noise + "panic: boom\n" + noise + "goroutine 99", "panic: boom\nsome", "\ngoroutine 99"},
		"a panic, then not": {"panic: old\n" + noise + "out of luck", "panic: old\n", "\nout of luck"},
		"one long line":     {strings.Repeat("x", 100_000), "xxx", "xxx"},
		"no text":           {noise + "\xff\xfe", "some line", "�"},
	} {
		var words tail
		words.write([]byte(c.printed))
		got := words.words()
		if !strings.HasPrefix(got, c.starts) || !strings.HasSuffix(got, c.ends) || len(got) > wordsSize+10 {
			t.Errorf("%s: %d bytes, %.40q … %q", name, len(got), got, got[max(0, len(got)-40):])
		}
		if cap(words.buf) > 3*tailSize {
			t.Errorf("%s: %d bytes kept", name, cap(words.buf))
		}
	}
}

func TestLinesAreCutWhereverTheirBytesArrive(t *testing.T) {
	var got []string
	l := &lines{emit: func(s string) { got = append(got, s) }}
	for _, chunk := range []string{"on", "e\ntwo\r\nth", "", "ree\n\nlast"} {
		_, _ = l.Write([]byte(chunk))
	}
	l.flush()
	if want := "one|two|three||last"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

func TestTheKernelsCountOfOOMKillsIsRead(t *testing.T) {
	path := t.TempDir() + "/vmstat"
	if err := os.WriteFile(path, []byte("nr_free_pages 1\noom_kill 12\nother 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := oomKillsIn(path); got != 12 {
		t.Errorf("got %d, want 12", got)
	}
	if got := oomKillsIn(path + "-none"); got != 0 {
		t.Errorf("got %d from nowhere", got)
	}
}
