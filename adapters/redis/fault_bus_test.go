package redis_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// hears has hints sent until one arrives: those that are sent while a subscription is made anew are lost.
func (f *faults) hears(topic string, hints <-chan []byte) {
	f.Helper()
	for deadline := time.Now().Add(patience); ; {
		f.must(f.calm.Bus.Send(f.Context(), topic, []byte(topic)))
		select {
		case hint, open := <-hints:
			if !open || string(hint) != topic {
				f.Fatalf("heard %q of %s, open %v", hint, topic, open)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			f.Fatalf("nothing is heard of %s any more", topic)
		}
	}
}

// subscribed subscribes, and does so again where the connection breaks while it asks.
func (f *faults) subscribed(ctx context.Context, topic string) <-chan []byte {
	f.Helper()
	for deadline := time.Now().Add(patience); ; {
		hints, err := f.store.Bus.Subscribe(ctx, topic)
		if err == nil {
			return hints
		}
		if time.Now().After(deadline) {
			f.Fatal(err)
		}
	}
}

func TestASubscriptionIsMadeAnewWhereverItsConnectionIsCut(t *testing.T) {
	f := newFaults(t)
	f.patient = true
	old := f.subscribed(t.Context(), "old")
	var fresh <-chan []byte
	end := func() {}
	f.everywhere(func(string) {}, func(id string) error {
		var ctx context.Context
		ctx, end = context.WithCancel(t.Context())
		fresh = f.subscribed(ctx, id)
		f.must(f.calm.Bus.Send(ctx, id, []byte(id)))
		return nil
	}, func(id string, _ bool) {
		f.hears(id, fresh)
		f.hears("old", old)
		end()
	})
}

func TestAWaitSeesAnEndWhereverItsConnectionIsCut(t *testing.T) {
	f := newFaults(t)
	f.patient = true
	f.must(f.settle(f.calm, done(f.held("ended"))))
	f.everywhere(func(string) {}, func(string) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		s, err := stem.NewClient(f.store).Handle("ended").Wait(ctx)
		if err == nil && s.State != stem.Succeeded {
			err = errors.New("it is " + string(s.State))
		}
		f.must(err)
		return nil
	}, func(string, bool) {})
}

// TestWhoWaitsLearnsOfEndsThatComeWhileConnectionsBreak has many wait, and cuts in what they are told.
func TestWhoWaitsLearnsOfEndsThatComeWhileConnectionsBreak(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	proxy := testserver.NewProxy(t, server.Addr)
	store, calm := open(t, "redis://"+proxy.Addr), open(t, server.URL())
	client := stem.NewClient(store)
	const each = 20
	for range 3 {
		var waits sync.WaitGroup
		for range each {
			id := stem.NewID()
			if _, err := calm.Broker.Publish(t.Context(), message(t, id)); err != nil {
				t.Fatal(err)
			}
			waits.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if s, err := client.Handle(id).Wait(ctx); err != nil || s.State != stem.Succeeded {
					t.Errorf("%s is %s, %v", id, s.State, err)
				}
			})
		}
		until(t, "all listen", func() bool {
			channels, err := server.Client.PubSubChannels(t.Context(), "*watched:*").Result()
			return err == nil && len(channels) == each
		})
		proxy.CutReply(rand.IntN(2000))
		c := ask(time.Minute)
		c.Max = each
		ds, err := calm.Broker.Claim(t.Context(), c)
		if err != nil || len(ds) != each {
			t.Fatalf("claimed %d of %d, %v", len(ds), each, err)
		}
		for _, d := range ds {
			if errs, err := calm.Broker.Settle(t.Context(), done(d)); err != nil || errs[0] != nil {
				t.Fatal(errs, err)
			}
		}
		waits.Wait()
		proxy.Heal()
	}
}
