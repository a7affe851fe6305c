package adaptertest

import (
	"slices"

	"github.com/stemd/stem"
	"pgregory.net/rapid"
)

func (m *model) publish(t *rapid.T) {
	msgs := m.messages(t, 1, 3)
	want, got := both(m, func(s stem.Store) ([]stem.Published, error) { return s.Broker.Publish(m.ctx, msgs...) })
	m.same("publish", want, got)
}

func (m *model) claim(t *rapid.T) {
	c := stem.Claim{Max: rapid.SampledFrom([]int{0, 1, 2, 3, 4, 10, 40}).Draw(t, "max"), Owner: drawOwner.Draw(t, "owner"), Lease: drawSpan.Draw(t, "lease")}
	for _, q := range rapid.SampledFrom([][]string{{"q"}, {"r"}, {"q", "r"}, {"r", "q"}, {stem.ParkedPrefix + task, "q"}, {callbacks}}).Draw(t, "queues") {
		c.Queues = append(c.Queues, stem.QueueLimit{Queue: q, Limit: rapid.SampledFrom([]int{0, 1, 2, 9}).Draw(t, "limit")})
	}
	want, got := both(m, func(s stem.Store) ([]stem.Delivery, error) { return s.Broker.Claim(m.ctx, c) })
	m.same("number of tasks claimed", len(want), len(got))
	for i := range want {
		m.same("claim", delivered(want[i]), delivered(got[i]))
		m.claims = append(m.claims, claims{want[i], got[i]})
	}
}

// delivered is a delivery without what stores choose for themselves.
func delivered(d stem.Delivery) any {
	d.State.Epoch = 0
	return []any{d.ID, d.Name, d.Queue, d.Priority, d.Envelope, d.State, d.Lease, d.GeneratedID, d.Unique, d.LeasedUntil.UnixMicro(), d.Receipt.Owner, d.Receipt.Queue}
}

// held draws claims, the latest more often than the stale ones.
func (m *model) held(t *rapid.T) []claims {
	if len(m.claims) == 0 {
		t.Skip("nothing was claimed")
	}
	out := make([]claims, rapid.IntRange(1, 2).Draw(t, "claims"))
	for i := range out {
		back := rapid.IntRange(0, min(len(m.claims)-1, 6)).Draw(t, "claims back")
		out[i] = m.claims[len(m.claims)-1-back]
	}
	return out
}

func (m *model) extend(t *rapid.T) {
	length := drawSpan.Draw(t, "for")
	var want, got []stem.Lease
	for _, c := range m.held(t) {
		want = append(want, stem.Lease{Receipt: c.want.Receipt, For: length})
		got = append(got, stem.Lease{Receipt: c.got.Receipt, For: length})
	}
	lost, err := m.want.Broker.Extend(m.ctx, want...)
	m.must(err)
	lostHere, err := m.got.Broker.Extend(m.ctx, got...)
	m.must(err)
	m.same("leases lost", receiptIDs(lost), receiptIDs(lostHere))
}

func receiptIDs(rs []stem.Receipt) []string {
	out := []string{}
	for _, r := range rs {
		out = append(out, r.ID)
	}
	return out
}

func (m *model) settle(t *rapid.T) {
	var want, got []stem.Settlement
	for _, c := range m.held(t) {
		w, g := m.settlement(t, c)
		want, got = append(want, w), append(got, g)
	}
	if m.caps.Composed && slices.ContainsFunc(want, func(s stem.Settlement) bool { return s.Kind == stem.Move }) {
		for _, s := range want { // what moves and what follows: which comes first into one queue is open
			for i := range s.Then {
				s.Then[i].Queue = "q"
			}
		}
	}
	m.settleBoth(want, got)
}

// settleBoth settles the same claims in both stores.
func (m *model) settleBoth(want, got []stem.Settlement) {
	if m.caps.Composed { // they renew the lease first, as also a settlement that is then refused shows
		m.renew(m.want, want)
		m.renew(m.got, got)
	}
	errs, err := m.want.Broker.Settle(m.ctx, want...)
	m.must(err)
	errsHere, err := m.got.Broker.Settle(m.ctx, got...)
	m.must(err)
	m.same("number of answers", len(errs), len(errsHere))
	for i := range errs {
		if outcome(errs[i]) != outcome(errsHere[i]) {
			m.Fatalf("settling %+v differs\n memory: %v\n   here: %v", want[i], errs[i], errsHere[i])
		}
	}
}

func (m *model) renew(s stem.Store, settlements []stem.Settlement) {
	for _, one := range settlements {
		_, err := s.Broker.Extend(m.ctx, stem.Lease{Receipt: one.Receipt, For: stem.DefaultLease})
		m.must(err)
	}
}

func (m *model) settlement(t *rapid.T, c claims) (want, got stem.Settlement) {
	kinds := []stem.Kind{stem.Done, stem.Retry, stem.Hold, stem.Release, stem.Park, stem.Move, stem.Dead, stem.AckEarly}
	s := stem.Settlement{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Queue: "r", Reason: rapid.SampledFrom([]string{"", "why"}).Draw(t, "reason")}
	if d := drawDelay.Draw(t, "at"); d > 0 {
		s.At = m.clock.Now().Add(d)
	}
	if rapid.Bool().Draw(t, "with state") {
		s.State = &stem.State{Attempt: c.want.State.Attempt + 1, Crashes: 1, Home: "home"}
	}
	ends := s.Kind == stem.Done || s.Kind == stem.Dead
	if rapid.Bool().Draw(t, "with result") || ends && m.caps.Composed { // else what they were told last is all they know of it
		state := stem.Retried
		switch {
		case ends:
			state = drawTerminal.Draw(t, "result")
		case m.caps.Composed: // which believe what they are told
			state = liveState(s, c)
		}
		s.Result = &stem.StatusWrite{Status: stem.Status{Name: task, Queue: c.want.Queue, State: state, Attempt: 1, Result: []byte("r")}, TTL: drawSpan.Draw(t, "ttl")}
		if state == stem.Failed {
			s.Result.Status.Error = &stem.TaskError{Class: stem.ClassError, Message: "no"}
		}
	}
	if ends && rapid.Bool().Draw(t, "with tally") {
		s.Tally = &stem.Tally{Group: drawGroup.Draw(t, "group"), State: drawTerminal.Draw(t, "end")}
	}
	s.Then = m.messages(t, 0, 1)
	want, got = s, s
	want.Receipt, got.Receipt = c.want.Receipt, c.got.Receipt
	if rapid.Bool().Draw(t, "with record") {
		w, g := m.write(t)
		want.Save, got.Save = []stem.RecordWrite{w}, []stem.RecordWrite{g}
	}
	return want, got
}

// liveState is what becomes of a task that does not end.
func liveState(s stem.Settlement, c claims) stem.TaskState {
	switch {
	case s.Kind == stem.AckEarly:
		return stem.Running
	case s.State != nil || c.want.State.Attempt > 0:
		return stem.Retried
	}
	return stem.Queued
}

// holds says whether a claim is the present one of its task.
func (m *model) holds(c claims) bool {
	known, err := m.want.Results.Load(m.ctx, c.want.ID)
	m.must(err)
	return known[0] != nil && known[0].State == stem.Running && known[0].Epoch == c.want.Receipt.Epoch
}

// saveResult writes a status that may come too late.
func (m *model) saveResult(t *rapid.T) {
	for _, c := range m.held(t) {
		if m.caps.Composed && !m.holds(c) {
			continue // they believe that it runs
		}
		w := stem.StatusWrite{Status: stem.Status{ID: c.want.ID, Name: task, Queue: "q", State: stem.Running, Attempt: 3}, TTL: drawSpan.Draw(t, "ttl")}
		w.Status.Epoch = c.want.Receipt.Epoch
		m.must(m.want.Results.Save(m.ctx, w))
		w.Status.Epoch = c.got.Receipt.Epoch
		m.must(m.got.Results.Save(m.ctx, w))
	}
}

func (m *model) replay(t *rapid.T) {
	r := stem.Replay{Delay: drawDelay.Draw(t, "delay"), DryRun: rapid.Bool().Draw(t, "dry run")}
	r.Limit, r.Queue = rapid.IntRange(0, 2).Draw(t, "limit"), rapid.SampledFrom([]string{"", "q"}).Draw(t, "of queue")
	want, got := both(m, func(s stem.Store) ([]stem.Replayed, error) { return s.Broker.(stem.Inspector).Replay(m.ctx, r) })
	m.same("number replayed", len(want), len(got))
	for i := range want {
		m.same("replay", []any{want[i].DeadLetter.Message.ID, want[i].Err != nil}, []any{got[i].DeadLetter.Message.ID, got[i].Err != nil})
	}
}

func (m *model) purge(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "dead letters") > 0 {
		q := stem.DeadLetterQuery{Limit: rapid.IntRange(0, 1).Draw(t, "limit"), Queue: drawQueue.Draw(t, "queue")}
		m.same("dead letters purged", m.purgeIn(m.want, q), m.purgeIn(m.got, q))
		return
	}
	queue := drawQueue.Draw(t, "queue")
	want, got := both(m, func(s stem.Store) (int, error) { return s.Broker.(stem.Inspector).Purge(m.ctx, queue) })
	m.same("tasks purged", want, got)
}

func (m *model) purgeIn(s stem.Store, q stem.DeadLetterQuery) int {
	n, err := s.Broker.(stem.Inspector).PurgeDeadLetters(m.ctx, q)
	m.must(err)
	return n
}

// release is a claimer whose process is gone.
func (m *model) release(t *rapid.T) {
	if !m.caps.Takeover {
		t.Skip("the store can not release an owner")
	}
	owner := drawOwner.Draw(t, "owner")
	want, got := both(m, func(s stem.Store) (int, error) { return s.Broker.(stem.Takeover).ReleaseOwner(m.ctx, owner) })
	m.same("tasks released", want, got)
}
