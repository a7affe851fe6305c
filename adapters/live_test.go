package adapters_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

func TestTheStatusOfALiveTaskIsDerivedFromItsRow(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	header, err := stem.EncodeHeader(&stem.Header{ID: "a", ParentID: "p", RootID: "r", Meta: map[string]json.RawMessage{"k": json.RawMessage("1")}})
	if err != nil {
		t.Fatal(err)
	}
	failure := &stem.TaskError{Message: "not yet"}
	retried := &stem.Status{State: stem.Retried, Error: failure, Meta: map[string]json.RawMessage{"k": json.RawMessage("2")}}
	for name, c := range map[string]struct {
		state   stem.State
		owner   string
		saved   *stem.Status
		want    stem.TaskState
		failure *stem.TaskError
		worker  string
		meta    string
		due     time.Time
	}{
		"waiting for its first attempt is queued":              {want: stem.Queued, meta: "1"},
		"hidden before its first attempt is queued and due":    {state: stem.State{NotBefore: now}, want: stem.Queued, meta: "1", due: now},
		"leased is running at the node":                        {owner: "host/a/boot", want: stem.Running, worker: "host/a", meta: "1"},
		"waiting for another attempt is retried, with the why": {state: stem.State{Attempt: 1}, saved: retried, want: stem.Retried, failure: failure, meta: "2"},
		"running another attempt keeps why the last failed":    {state: stem.State{Attempt: 1}, owner: "n/b", saved: retried, want: stem.Running, failure: failure, worker: "n", meta: "2"},
		"a past life's end is forgotten":                       {saved: &stem.Status{State: stem.Failed, Error: failure}, want: stem.Queued, meta: "1"},
		"a past life's end is forgotten on a later attempt":    {state: stem.State{Attempt: 1}, saved: &stem.Status{State: stem.Failed, Error: failure}, want: stem.Retried, meta: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			c.state.Epoch = 9
			m := stem.Message{ID: "a", Name: "n", Queue: "q", Priority: 3, State: c.state, Envelope: stem.Envelope{Header: header}}
			s := adapters.LiveStatus(m, c.owner, now, c.saved)
			if s.State != c.want || s.Error != c.failure || s.Worker != c.worker || string(s.Meta["k"]) != c.meta || !s.DueAt.Equal(c.due) {
				t.Errorf("got %+v", s)
			}
			if s.ID != "a" || s.Name != "n" || s.Queue != "q" || s.Priority != 3 || s.Epoch != 9 || s.ParentID != "p" || s.RootID != "r" || !s.UpdatedAt.Equal(now) {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestAStatusIsFreshUnlessItIsOfAnOlderOrEndedEpoch(t *testing.T) {
	for _, c := range []struct {
		stored *stem.Status
		epoch  stem.Epoch
		want   bool
	}{
		{nil, 0, true},
		{&stem.Status{State: stem.Running, Epoch: 5}, 4, false},
		{&stem.Status{State: stem.Running, Epoch: 5}, 5, true},
		{&stem.Status{State: stem.Running, Epoch: 5}, 6, true},
		{&stem.Status{State: stem.Failed, Epoch: 5}, 5, false},
		{&stem.Status{State: stem.Failed, Epoch: 5}, 6, true},
	} {
		if got := adapters.Fresh(c.stored, c.epoch); got != c.want {
			t.Errorf("epoch %d over %+v is fresh: %t", c.epoch, c.stored, got)
		}
	}
}
