package memory_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem"
)

func message(id string) stem.Message { return stem.Message{ID: id, Name: "t", Queue: "q"} }

func publish(t *testing.T, s stem.Store, msgs ...stem.Message) {
	t.Helper()
	out, err := s.Broker.Publish(t.Context(), msgs...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range out {
		if p.State != stem.Accepted {
			t.Fatalf("published %+v", p)
		}
	}
}

func claim(t *testing.T, s stem.Store, n int, wait time.Duration) []stem.Delivery {
	t.Helper()
	ds, err := s.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: n, Owner: "n/b", Wait: wait})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func settle(t *testing.T, s stem.Store, settlements ...stem.Settlement) {
	t.Helper()
	errs, err := s.Broker.Settle(t.Context(), settlements...)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func names(ds []stem.Delivery) []string {
	var out []string
	for _, d := range ds {
		out = append(out, d.ID)
	}
	return out
}

func TestDelayedRetriedAndHeldTasksTakeThePlaceOfTheirArrivalOnceDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		late := message("delayed")
		late.State.NotBefore = time.Now().Add(time.Minute)
		publish(t, s, message("retried"), late, message("held"), message("plain"))
		for _, d := range claim(t, s, 3, 0) {
			switch d.ID {
			case "retried":
				settle(t, s, stem.Settlement{Receipt: d.Receipt, Kind: stem.Retry, At: time.Now().Add(3 * time.Minute)})
			case "held":
				settle(t, s, stem.Settlement{Receipt: d.Receipt, Kind: stem.Hold, At: time.Now().Add(2 * time.Minute)})
			default:
				settle(t, s, stem.Settlement{Receipt: d.Receipt, Kind: stem.Release})
			}
		}
		time.Sleep(3 * time.Minute)
		if got := names(claim(t, s, 10, 0)); !slices.Equal(got, []string{"retried", "delayed", "held", "plain"}) {
			t.Errorf("claimed %v", got)
		}
	})
}

func TestAWaitingClaimReturnsAtTheMomentATaskBecomesDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := open(t), time.Now()
		for i, delay := range []time.Duration{time.Hour, time.Minute, time.Second} {
			m := message(fmt.Sprint(i))
			m.State.NotBefore = start.Add(delay)
			publish(t, s, m)
		}
		for _, want := range []time.Duration{time.Second, time.Minute, time.Hour} {
			d := claim(t, s, 1, 2*time.Hour)
			settle(t, s, stem.Settlement{Receipt: d[0].Receipt, Kind: stem.Done})
			if got := time.Since(start); got != want {
				t.Errorf("claimed %s after %v, want %v", d[0].ID, got, want)
			}
		}
	})
}

func TestAWaitingClaimReturnsAtTheMomentALeaseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := open(t), time.Now()
		publish(t, s, message("a"))
		claim(t, s, 1, 0)
		if ds := claim(t, s, 1, time.Hour); len(ds) != 1 || time.Since(start) != stem.DefaultLease {
			t.Errorf("claimed %v after %v", names(ds), time.Since(start))
		}
	})
}

func TestAWaitingClaimGivesUpExactlyWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := open(t), time.Now()
		if ds := claim(t, s, 1, time.Minute); len(ds) != 0 || time.Since(start) != time.Minute {
			t.Errorf("claimed %v after %v", names(ds), time.Since(start))
		}
	})
}

func TestAWaitingClaimReturnsAtTheMomentOfAPublishOrARelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := open(t), time.Now()
		time.AfterFunc(time.Second, func() { publish(t, s, message("a")) })
		d := claim(t, s, 1, time.Hour)
		if len(d) != 1 || time.Since(start) != time.Second {
			t.Fatalf("claimed %v after %v", names(d), time.Since(start))
		}
		time.AfterFunc(time.Second, func() { settle(t, s, stem.Settlement{Receipt: d[0].Receipt, Kind: stem.Release}) })
		if ds := claim(t, s, 1, time.Hour); len(ds) != 1 || time.Since(start) != 2*time.Second {
			t.Errorf("claimed %v after %v", names(ds), time.Since(start))
		}
	})
}

func TestAShortenedLeaseWakesAClaimThatWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := open(t), time.Now()
		publish(t, s, message("a"))
		d := claim(t, s, 1, 0)[0]
		go func() {
			time.Sleep(time.Second)
			_, _ = s.Broker.Extend(t.Context(), stem.Lease{Receipt: d.Receipt, For: time.Second})
		}()
		if ds := claim(t, s, 1, time.Hour); len(ds) != 1 || time.Since(start) != 2*time.Second {
			t.Errorf("claimed %v after %v", names(ds), time.Since(start))
		}
	})
}
