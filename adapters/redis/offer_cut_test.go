package redis_test

import (
	"errors"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// Booking that is cut is done by who needs it next, whatever of it the server has carried out, and whether or not somebody has sorted meanwhile.
func TestABookingCutAnywhereIsDoneAgain(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	proxy := testserver.NewProxy(t, server.Addr)
	producer, taker := open(t, server.URL()), open(t, "redis://"+proxy.Addr+"/0?pool=1")
	rounds := 0
	round := func(cut func()) (requests, replies int) {
		t.Helper()
		rounds++
		proxy.Heal()
		if _, err := taker.Results.Load(t.Context(), "nobody"); err != nil { // the connection is there
			t.Fatal(err)
		}
		d := takes(t, producer, taker, queue)
		proxy.Heal()
		cut()
		errs, err := taker.Broker.Settle(t.Context(), done(d))
		requests, replies = proxy.Passed()
		proxy.Heal()
		if err != nil {
			if rounds%2 == 0 && len(claim(t, producer, 1)) > 0 {
				t.Fatal("somebody else could claim it")
			}
			errs, err = taker.Broker.Settle(t.Context(), done(d))
			if err == nil && errors.Is(errs[0], stem.ErrLeaseLost) { // it was settled, as is to be seen
				errs[0] = nil
			}
		}
		if err != nil || errs[0] != nil {
			t.Fatalf("%v, %v", errs, err)
		}
		if s, err := producer.Results.Load(t.Context(), d.ID); err != nil || s[0] == nil || s[0].State != stem.Succeeded {
			t.Fatalf("%+v, %v", s[0], err)
		}
		return requests, replies
	}
	round(func() {}) // the server knows the scripts
	requests, replies := round(func() {})
	if requests < 100 || replies < 2 {
		t.Fatalf("%d and %d bytes passed", requests, replies)
	}
	for at := 0; at < requests; at += 23 {
		round(func() { proxy.CutRequest(at) })
	}
	for at := range replies {
		round(func() { proxy.CutReply(at) })
	}
	t.Logf("%d rounds over %d and %d bytes", rounds, requests, replies)
	if q := counts(t, producer); q != (stem.QueueCounts{}) {
		t.Errorf("%+v", q)
	}
	sound(t, server)
}
