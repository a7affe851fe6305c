package redis_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// Whatever a server loses at whatever moment, no call fails but to say so, and what is published later is done.
func TestCallsDoNotFailWhateverAServerLoses(t *testing.T) {
	seed := rand.Uint64()
	for round := range 15 {
		l := newLossy(t)
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		var did []string
		var held []stem.Delivery
		for range 60 {
			did = append(did, l.anything(r, &held))
			if t.Failed() {
				t.Fatalf("seed %d, round %d, after %v", seed, round, did)
			}
		}
		l.drain()
		final, n := l.publish("final")
		l.drain()
		for _, id := range final {
			if l.ended[id] != 1 {
				t.Errorf("%s was done %d times", id, l.ended[id])
			}
		}
		if q := l.counted(); n != len(final) || q.Ready+q.Running != 0 {
			t.Errorf("%d accepted, then counts %+v", n, q)
		}
		if t.Failed() {
			t.Fatalf("seed %d, round %d, after %v", seed, round, did)
		}
	}
}

// anything does one thing of all that is done to a store, or has the server lose a key.
func (l *lossy) anything(r *rand.Rand, held *[]stem.Delivery) (did string) {
	l.Helper()
	ctx, inspector := l.Context(), l.store.Broker.(stem.Inspector)
	var some []stem.Delivery
	if len(*held) > 0 {
		from := r.IntN(len(*held))
		some = (*held)[from:min(from+1+r.IntN(8), len(*held))]
	}
	var err error
	switch n := r.IntN(14); n {
	case 0, 1:
		did = fmt.Sprint("publish ", n)
		l.publish(fmt.Sprint("task-", n))
	case 2, 3, 4:
		did = "claim"
		ds, _ := l.claim(1 + r.IntN(30))
		*held = append(*held, ds...)
	case 5:
		did = "finish"
		l.finish(some...)
	case 6, 7:
		kind := []stem.Kind{stem.Retry, stem.Release, stem.Dead, stem.AckEarly, stem.Hold}[r.IntN(5)]
		did = fmt.Sprint("settle ", kind)
		var all []stem.Settlement
		for _, d := range some {
			all = append(all, stem.Settlement{Receipt: d.Receipt, Kind: kind, At: l.clock.Add(time.Minute)})
		}
		_, err = l.store.Broker.Settle(ctx, all...)
	case 8:
		did = "extend"
		var leases []stem.Lease
		for _, d := range some {
			leases = append(leases, stem.Lease{Receipt: d.Receipt, For: time.Minute})
		}
		_, err = l.store.Broker.Extend(ctx, leases...)
	case 9:
		did = "look"
		_, err = l.store.Results.List(ctx, stem.StatusQuery{})
		if err == nil {
			_, err = inspector.Browse(ctx, stem.BrowseQuery{Queue: queue})
		}
		l.counted()
	case 10:
		did = "pass"
		l.clock = l.clock.Add(time.Duration(r.IntN(120)) * time.Second)
		_, err = l.store.Broker.(stem.Maintainer).Maintain(ctx)
	case 11:
		did = "replay"
		_, err = inspector.Replay(ctx, stem.Replay{})
	case 12:
		did = "release"
		_, err = l.store.Broker.(stem.Takeover).ReleaseOwner(ctx, owner)
	default:
		key := lost[r.IntN(len(lost))]
		did = "lose " + key
		err = l.server.Client.Del(ctx, l.prefix+key).Err()
	}
	if err != nil && !errors.Is(err, stem.ErrCorrupt) {
		l.Error(did, err)
	}
	return did
}
