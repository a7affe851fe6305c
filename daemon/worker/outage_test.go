package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
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

// said has an outage of errors, one each second of a virtual clock, and gives what was logged.
func said(t *testing.T, errs ...error) []string {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		o := outage{log: hclog.New(&hclog.LoggerOptions{Output: &out}), what: "store"}
		for _, err := range errs {
			o.failed(err, "claims stopped")
			time.Sleep(time.Second)
		}
	})
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func refusedAt(port int) error {
	return fmt.Errorf("claim: %w", &net.OpError{
		Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: port},
		Err: os.NewSyscallError("connect", syscall.ECONNREFUSED),
	})
}

// wrongPassword is a server's word, which has no type that this package knows.
func wrongPassword() error {
	return fmt.Errorf("claim: user or password are wrong: %w", errors.New("WRONGPASS invalid"))
}

func TestAnOutageWhoseCauseChangesSaysEachOnceAsItComes(t *testing.T) {
	got := said(t, refusedAt(1), refusedAt(1), wrongPassword(), wrongPassword(), wrongPassword())
	if len(got) != 2 || !strings.Contains(got[0], "connection refused") || !strings.Contains(got[1], "still, and now: claim: user or password are wrong: WRONGPASS") ||
		!strings.Contains(got[1], "[ERROR]") || !strings.Contains(got[1], "; claims stopped; trying again") {
		t.Errorf("logged %q", got)
	}
}

func TestACauseThatOnlyReadsOtherwiseIsTheSame(t *testing.T) {
	for name, errs := range map[string][]error{
		"another port":             {refusedAt(1), refusedAt(2)},
		"another operation":        {refusedAt(1), fmt.Errorf("renew: %w", refusedAt(1))},
		"another number":           {errors.New("MOVED 7 127.0.0.1:1"), errors.New("MOVED 8 127.0.0.1:2")},
		"another's patience":       {context.DeadlineExceeded, fmt.Errorf("read: %w", os.ErrDeadlineExceeded), &net.DNSError{IsTimeout: true}},
		"another end of the break": {io.EOF, &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}},
		"fewer parts":              {errors.Join(refusedAt(1), wrongPassword()), wrongPassword(), refusedAt(2)},
	} {
		if got := said(t, errs...); len(got) != 1 {
			t.Errorf("%s: logged %q", name, got)
		}
	}
}

func TestCausesThatTakeTurnsAreSaidOnceEach(t *testing.T) {
	var errs []error
	for range 300 {
		errs = append(errs, refusedAt(1), wrongPassword())
	}
	if got := said(t, errs...); len(got) != 2 {
		t.Errorf("logged %q", got)
	}
}

func TestACauseThatIsBackToStayIsSaidAgainAfterAWhile(t *testing.T) {
	errs := []error{refusedAt(1), wrongPassword()}
	for range 300 {
		errs = append(errs, refusedAt(1))
	}
	if got := said(t, errs[:60]...); len(got) != 2 {
		t.Errorf("before it has stayed: logged %q", got)
	}
	if got := said(t, errs...); len(got) != 3 || !strings.Contains(got[2], "connection refused") {
		t.Errorf("logged %q", got)
	}
}

func TestAnErrorThatNeverReadsTheSameDoesNotFillTheLog(t *testing.T) {
	var errs []error
	for i := range 400 {
		errs = append(errs, errors.New("garbled: "+strings.Repeat("x", i+1)))
	}
	if got := said(t, errs...); len(got) != reasonsMax {
		t.Errorf("logged %d lines", len(got))
	}
}

func TestTheNextOutageSaysItsCauseThoughTheLastOneDid(t *testing.T) {
	var out bytes.Buffer
	o := outage{log: hclog.New(&hclog.LoggerOptions{Output: &out}), what: "store"}
	o.failed(refusedAt(1), "claims stopped")
	o.over()
	o.failed(refusedAt(1), "claims stopped")
	if got := out.String(); strings.Count(got, "connection refused") != 2 || strings.Contains(got, "still") {
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
