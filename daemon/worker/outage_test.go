package worker

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
)

func TestAnOutageOfSeveralErrorsIsOneLine(t *testing.T) {
	var out bytes.Buffer
	o := outage{log: hclog.New(&hclog.LoggerOptions{Output: &out}), what: "store"}
	o.failed(errors.Join(errors.New("no answer"), errors.New("deadline exceeded")), "claims stopped")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "store: no answer; deadline exceeded; claims stopped") {
		t.Errorf("logged %q", got)
	}
}

// Claims are to go on within five seconds of the store's return, whatever it was away for.
func TestNoWaitBetweenTwoTriesIsOverThreeSecondsHoweverManyFailed(t *testing.T) {
	const most = 3 * time.Second
	away, part := errors.New("no answer"), stem.ErrUnreachable
	for name, next := range map[string]func(claimBackoff, int) time.Duration{
		"the store is away":      func(b claimBackoff, _ int) time.Duration { d, _ := b.next(away, 0); return d },
		"a part is away":         func(b claimBackoff, _ int) time.Duration { d, _ := b.next(part, 0); return d },
		"a part of many is away": func(b claimBackoff, _ int) time.Duration { d, _ := b.next(part, claimWait); return d },
		"now one, now the other": func(b claimBackoff, n int) time.Duration { d, _ := b.next([]error{away, part}[n%2], 0); return d },
	} {
		b := newClaimBackoff()
		for n := range 10_000 {
			if d := next(b, n); d <= 0 || d > most {
				t.Fatalf("%s: the wait after %d failures is %v", name, n+1, d)
			}
		}
	}
}

func TestTheLogSaysHowLongIsReallyWaited(t *testing.T) {
	var out bytes.Buffer
	o := outage{log: hclog.New(&hclog.LoggerOptions{Output: &out}), what: "store"}
	o.failed(errors.New("no answer"), "claims stopped")
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		b := newBackoff()
		for range 20 {
			d := b.NextBackOff()
			least, most = min(least, d), max(most, d)
		}
	}
	if least < retryLeast || most > retryMost || !strings.Contains(out.String(), "trying again every 250ms-3s") {
		t.Errorf("waits are %v to %v, and it logged %q", least, most, out.String())
	}
}
