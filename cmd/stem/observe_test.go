package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
)

var errAway = fmt.Errorf("%w: node a: it does not answer", stem.ErrUnreachable)

// halved is a store of which a part is away: what is there is that of the others, and heartbeats can not be read.
type halved struct {
	stem.Broker
	stem.Inspector
}

func (h halved) Queues(ctx context.Context) ([]stem.QueueCounts, error) {
	counts, err := h.Inspector.Queues(ctx)
	return counts, errors.Join(err, errAway)
}

func (h halved) DeadLetters(ctx context.Context, q stem.DeadLetterQuery) (stem.DeadLetterPage, error) {
	page, err := h.Inspector.DeadLetters(ctx, q)
	return page, errors.Join(err, errAway)
}

type unheard struct{ stem.Records }

func (unheard) List(context.Context, stem.RecordQuery) (stem.RecordPage, error) {
	return stem.RecordPage{}, errAway
}

type unlisted struct{ stem.Results }

func (u unlisted) List(ctx context.Context, q stem.StatusQuery) (stem.StatusPage, error) {
	page, err := u.Results.List(ctx, q)
	return page, errors.Join(err, errAway)
}

func TestQueuesAndLettersAreShownThoughAPartOfTheStoreIsAway(t *testing.T) {
	store, err := memory.Open(t.Context(), "memory://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	away := store
	away.Broker, away.Records, away.Results = halved{store.Broker, store.Broker.(stem.Inspector)}, unheard{store.Records}, unlisted{store.Results}
	client := stem.NewClient(store)
	shown := func(json bool, show func(*program) error) (string, error) {
		var out bytes.Buffer
		p := &program{stdout: &out, stderr: &out, json: json}
		err := show(p)
		return out.String(), err
	}
	views := map[string]func(*program) error{
		"queues":  func(p *program) error { return p.observeQueues(t.Context(), away) },
		"letters": func(p *program) error { return p.observeDead(t.Context(), away) },
		"tasks":   func(p *program) error { return p.list(t.Context(), away, stem.StatusQuery{}) },
	}
	for name, show := range views {
		if out, err := shown(false, show); out != "" || !errors.Is(err, stem.ErrUnreachable) {
			t.Errorf("%s with nothing to show printed %q, %v", name, out, err)
		}
	}
	if _, err := client.Enqueue(t.Context(), "t", nil, stem.Queue("near")); err != nil {
		t.Fatal(err)
	}
	ds, err := store.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "near"}}, Max: 1, Owner: "n/b"})
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	status := &stem.StatusWrite{Status: stem.Status{Name: "t", Queue: "near", State: stem.Failed}}
	if _, err := store.Broker.Settle(t.Context(), stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Dead, Reason: "why", Result: status}); err != nil {
		t.Fatal(err)
	}
	for name, show := range views {
		for _, json := range []bool{false, true} {
			out, err := shown(json, show)
			if !strings.Contains(out, "near") || !errors.Is(err, stem.ErrUnreachable) {
				t.Errorf("%s, as JSON %t, printed %q, %v", name, json, out, err)
			}
			if name == "queues" && !strings.Contains(out, "daemons not known") {
				t.Errorf("%s, as JSON %t, say of daemons that nobody knows: %q", name, json, out)
			}
		}
	}
}
