package host

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/register"
)

func TestWhenToLookAtAnAttemptAgain(t *testing.T) {
	const s = time.Second
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	running := func(since time.Duration) map[uint64]register.Entry {
		return map[uint64]register.Entry{1: {Seq: 1, State: register.Running, Started: ago(since)}}
	}
	none := map[uint64]register.Entry{}
	for name, c := range map[string]struct {
		held    held
		entries map[uint64]register.Entry
		stuck   bool
		want    time.Duration // from now; -1: kill
		tell    string
	}{
		"runs, hard limit to come":              {held: held{Attempt: plugin.Attempt{Hard: 5 * s}}, entries: running(2 * s), want: 3 * s},
		"runs, hard limit reached":              {held: held{Attempt: plugin.Attempt{Hard: 5 * s}}, entries: running(5 * s), want: -1},
		"runs, soft limit to come first":        {held: held{Attempt: plugin.Attempt{Soft: 3 * s, Hard: 5 * s}}, entries: running(2 * s), want: s},
		"runs, soft limit reached":              {held: held{Attempt: plugin.Attempt{Soft: 2 * s, Hard: 5 * s}}, entries: running(2 * s), want: 3 * s, tell: "soft-limit"},
		"runs, soft limit told before":          {held: held{soft: true, Attempt: plugin.Attempt{Soft: 2 * s, Hard: 5 * s}}, entries: running(4 * s), want: s},
		"not started, a limit from now at most": {held: held{sent: ago(9 * s), Attempt: plugin.Attempt{Hard: 5 * s}}, entries: none, want: 5 * s},
		"not started for far too long":          {held: held{sent: ago(36 * s), Attempt: plugin.Attempt{Hard: 5 * s}}, entries: none, want: -1},
		"has returned, the outcome is coming":   {held: held{Attempt: plugin.Attempt{Hard: s}}, entries: map[uint64]register.Entry{1: {Seq: 1, State: register.Done, Started: ago(9 * s)}}, want: s},
		"no register: sent is started":          {held: held{sent: ago(5 * s), Attempt: plugin.Attempt{Hard: 5 * s}}, want: -1},
		"sent ahead, others move":               {held: held{wait: true, sent: ago(s)}, entries: none, want: aheadPatience},
		"sent ahead, all slots are slow":        {held: held{wait: true, sent: ago(s)}, entries: none, stuck: true, want: aheadPatience, tell: "recall"},
	} {
		p := &process{pool: &Pool{aheadPatience: aheadPatience}}
		h := c.held
		h.seq = 1
		next := p.look(&h, c.entries, c.stuck, noon)
		got := time.Duration(-1)
		if !next.IsZero() {
			got = next.Sub(noon)
		}
		tell := ""
		if len(p.out.cancel) == 1 {
			tell = p.out.cancel[0].Why
		}
		if len(p.out.recall) == 1 {
			tell = "recall"
		}
		if got != c.want || tell != c.tell {
			t.Errorf("%s: look again in %v and tell %q, want %v and %q", name, got, tell, c.want, c.tell)
		}
	}
}

func TestOnlyProcessesThatDoNothingAndDieAreHeldBack(t *testing.T) {
	pool := &Pool{cfg: Config{Command: []string{"/none"}, Restart: Restart{Delay: time.Second, MaxDelay: 4 * time.Second, Attempts: 9}}, log: hclog.NewNullLogger()}
	die := func(settled int, lived time.Duration, why causeKind) bool {
		proc := &process{settled: settled, took: noon.Add(-lived)}
		pool.crew.health.notBefore = time.Time{}
		pool.died(proc, death{at: noon, cause: cause{kind: why}})
		return !pool.crew.health.notBefore.IsZero()
	}
	for i, c := range []struct {
		settled int
		lived   time.Duration
		why     causeKind
		waits   bool
	}{
		{0, 0, causeNone, false}, // the first
		{0, 0, causeNone, true},
		{0, 0, causeHard, false}, // does not count, and does not forgive
		{0, 0, causeNone, true},
		{3, 0, causeNone, false}, // it worked
		{0, 0, causeNone, true},
		{0, time.Minute, causeNone, false}, // it lived
	} {
		if got := die(c.settled, c.lived, c.why); got != c.waits {
			t.Errorf("death %d (%s): waits %v, want %v", i, fmt.Sprint(c), got, c.waits)
		}
	}
}
