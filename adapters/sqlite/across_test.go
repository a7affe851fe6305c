package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// patience bounds every wait of a test; it is never a measurement.
const patience = 30 * time.Second

func TestBroadcastsHintsAndStatusesReachOtherProcesses(t *testing.T) {
	url := "sqlite://" + path(t)
	store := open(t, url)
	client := stem.NewClient(store)
	publish(t, store, "watched")
	events := make(chan event, 64)
	names := []string{"w1", "w2"}
	var listeners []*child
	for _, name := range names {
		listeners = append(listeners, start(t, events, "listen", url, name))
	}
	heard := map[event]int{}
	until := func(what, id string) {
		t.Helper()
		deadline := time.After(patience)
		for _, name := range names {
			for heard[event{name, what, id}] == 0 {
				select {
				case e := <-events:
					heard[e]++
				case <-deadline:
					t.Fatalf("process %s has not said %q; heard: %v", name, what+" "+id, heard)
				}
			}
		}
	}
	until("ready", "")
	until("status", "queued")
	if _, n, err := client.Broadcast(t.Context(), "news", "t", "hello"); err != nil || n != 2 {
		t.Fatalf("broadcast to %d: %v", n, err)
	}
	until("copy", `"hello"`)
	if err := store.Bus.Send(t.Context(), "topic", []byte("psst")); err != nil {
		t.Fatal(err)
	}
	until("hint", "psst")
	ds, err := store.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "o"})
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	until("status", "running")
	settle(t, store, stem.Settlement{Receipt: ds[0].Receipt, Result: &stem.StatusWrite{Status: stem.Status{State: stem.Succeeded}}})
	until("status", "succeeded")
	for _, c := range listeners {
		c.end()
		c.wait()
	}
	for _, name := range names {
		for _, once := range []event{{name, "copy", `"hello"`}, {name, "hint", "psst"}} {
			if heard[once] != 1 {
				t.Errorf("%+v was heard %d times", once, heard[once])
			}
		}
	}
	// Both have gone: nobody is there to hear.
	if _, n, err := client.Broadcast(t.Context(), "news", "t", "hello?"); err != nil || n != 0 {
		t.Errorf("broadcast to %d: %v", n, err)
	}
}

// listen says what it hears on the channel "news", on the topic "topic" and of the task "watched" until ctx ends.
func listen(ctx context.Context, store stem.Store, name string) error {
	client := stem.NewClient(store)
	subscription, err := client.Subscribe(ctx, "news", name)
	if err != nil {
		return err
	}
	hints, err := store.Bus.Subscribe(ctx, "topic")
	if err != nil {
		return err
	}
	statuses, err := store.Results.Watch(ctx, "watched")
	if err != nil {
		return err
	}
	kept := make(chan error, 1)
	go func() { kept <- subscription.Keep(ctx) }()
	copies := make(chan stem.Delivery)
	go func() {
		defer close(copies)
		for ctx.Err() == nil {
			ds, err := store.Broker.Claim(ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: subscription.Queue()}}, Max: 1, Owner: name, Wait: patience})
			if err != nil && !errors.Is(err, context.Canceled) {
				fmt.Println("error", err)
			}
			for _, d := range ds {
				copies <- d
			}
		}
	}()
	fmt.Println("ready")
	for hints != nil || copies != nil || statuses != nil {
		select {
		case hint, open := <-hints:
			if !open {
				hints = nil
				continue
			}
			fmt.Println("hint", string(hint))
		case status, open := <-statuses:
			if !open {
				statuses = nil
				continue
			}
			fmt.Println("status", status.State)
		case d, open := <-copies:
			if !open {
				copies = nil
				continue
			}
			fmt.Println("copy", string(d.Envelope.Body))
			if errs, err := store.Broker.Settle(context.WithoutCancel(ctx), stem.Settlement{Receipt: d.Receipt}); err != nil || errs[0] != nil {
				return fmt.Errorf("settle: %v %w", errs, err)
			}
		}
	}
	return <-kept
}
