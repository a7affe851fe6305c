package host_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

func (r *rig) untilLogged(part string) {
	r.t.Helper()
	r.until(r.t, "the line "+part, func() bool {
		return slices.ContainsFunc(r.logs, func(l logged) bool { return strings.Contains(l.Message, part) })
	})
}

func TestWhatAPluginPrintsIsPassedOnAndNeverParsed(t *testing.T) {
	r := up(t, "", nil)
	for _, line := range []string{`{"@message": 5}`, `{"@level":[],"@timestamp":1}`, "plain words", "\xff\xfe"} {
		if o := r.run("print " + line); o.Kind != plugin.Success {
			t.Fatalf("%q: %+v", line, o)
		}
	}
	r.untilLogged(`{"@message": 5}`)
	r.untilLogged("plain words")
	r.run("println through the package os")
	r.untilLogged("through the package os")
	if l := r.lines()[0]; l.Pid != r.Stats().Pids[0] || l.ID != "" || l.Time.IsZero() {
		t.Errorf("a line carries its pid and time: %+v", l)
	}
}

func TestALineOf1MBIsCutWithACountAndDoesNotStallTheProcess(t *testing.T) {
	r := up(t, "", nil)
	if o := r.run("long 1048576"); o.Kind != plugin.Success {
		t.Fatalf("got %+v", o)
	}
	wantFailure(t, r.run("exit"), stem.ClassExit, "exit status 4") // the line ends with the process
	r.untilLogged("… (1044480 bytes more)")
	for _, l := range r.lines() {
		if len(l.Message) > 5000 {
			t.Errorf("a line of %d bytes came through", len(l.Message))
		}
	}
}

func TestAFloodIsReadInFullAndPassedOnInPart(t *testing.T) {
	r := up(t, "", nil)
	if o := r.run("print " + strings.Repeat("blah blah\n", 50_000)); o.Kind != plugin.Success {
		t.Fatalf("got %+v", o)
	}
	o := r.run("exit")
	wantFailure(t, o, stem.ClassExit, "out of luck")
	if len(o.Error.Message) > 3000 {
		t.Errorf("the message has %d bytes", len(o.Error.Message))
	}
	r.untilLogged("lines dropped: more than 500 a second")
	if n := len(r.lines()); n > 5000 {
		t.Errorf("%d lines passed on", n)
	}
}
