package adaptertest

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/stemd/stem"
	"pgregory.net/rapid"
)

// write draws a write of a record and translates the version it demands, which may be an old one.
func (m *model) write(t *rapid.T) (want, got stem.RecordWrite) {
	ref := stem.RecordRef{Kind: "k", Part: rapid.SampledFrom([]string{"", "p"}).Draw(t, "part"), ID: rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "record")}
	w := stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte(drawID.Draw(t, "body"))}}
	w.Op = rapid.SampledFrom([]stem.RecordOp{stem.PutRecord, stem.CreateRecord, stem.ReplaceRecord, stem.DeleteRecord}).Draw(t, "op")
	if d := drawDelay.Draw(t, "expires"); d > 0 {
		w.TTL = d
	}
	if d := drawDelay.Draw(t, "due"); d > 0 {
		w.Record.Due = m.clock.Now().Add(d)
	}
	want, got = w, w
	if known := m.versions[ref]; len(known) > 0 && w.Op >= stem.ReplaceRecord {
		v := known[len(known)-1-rapid.IntRange(0, min(2, len(known)-1)).Draw(t, "versions back")]
		want.IfVersion, got.IfVersion = v[0], v[1]
	}
	return want, got
}

func (m *model) record(t *rapid.T) {
	want, got := m.write(t)
	v, err := m.want.Records.Save(m.ctx, want)
	here, errHere := m.got.Records.Save(m.ctx, got)
	m.same("saving a record", outcome(err), outcome(errHere))
	if err == nil && v[0] > 0 {
		m.versions[want.Record.RecordRef] = append(m.versions[want.Record.RecordRef], [2]int64{v[0], here[0]})
	}
}

func (m *model) openGroup(t *rapid.T) {
	g := stem.Group{ID: drawGroup.Draw(t, "group"), Members: rapid.SliceOfNDistinct(drawID, 1, 3, rapid.ID[string]).Draw(t, "members"), TTL: drawSpan.Draw(t, "ttl")}
	if rapid.Bool().Draw(t, "with callback") {
		callback := m.message(t)
		callback.ID, callback.Queue, callback.GeneratedID = "callback", callbacks, false
		g.Callback = &callback
	}
	both(m, func(s stem.Store) (struct{}, error) { return struct{}{}, s.Results.OpenGroups(m.ctx, g) })
}

func (m *model) tally(t *rapid.T) {
	tally := stem.Tally{Group: drawGroup.Draw(t, "group"), TaskID: drawID.Draw(t, "id"), Epoch: stem.Epoch(rapid.IntRange(1, 3).Draw(t, "epoch")), State: drawTerminal.Draw(t, "end")}
	want, got := both(m, func(s stem.Store) ([]stem.Tallied, error) { return s.Results.Tally(m.ctx, tally) })
	m.same("tally", []any{want[0].State, want[0].Callback != nil}, []any{got[0].State, got[0].Callback != nil})
	if rapid.Bool().Draw(t, "fired") {
		both(m, func(s stem.Store) (struct{}, error) { return struct{}{}, s.Results.Fired(m.ctx, tally.Group) })
	}
}

func (m *model) expire(t *rapid.T) {
	ids := []string{drawID.Draw(t, "id"), drawGroup.Draw(t, "group")}
	ttl := rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "ttl")
	both(m, func(s stem.Store) (struct{}, error) { return struct{}{}, s.Results.Expire(m.ctx, ttl, ids...) })
}

func (m *model) maintain(t *rapid.T) {
	if !m.caps.Maintainer {
		t.Skip("the store keeps its retention by itself")
	}
	want, got := both(m, func(s stem.Store) (stem.Maintained, error) { return s.Broker.(stem.Maintainer).Maintain(m.ctx) })
	// A status that a live task has outgrown, and the memory of an id that has begun a new life, may be deleted by one store and not
	// yet by the other; nobody sees it.
	want.Results, got.Results, want.SeenIDs, got.SeenIDs = 0, 0, 0, 0
	m.same("maintained", want, got)
}

var (
	everyID = []string{"a", "b", "c", "d", "e", "f", "g", "h", "callback"}
	every   = []string{"q", "r", callbacks, stem.ParkedPrefix + task}
)

// compare looks at everything there is to see.
func (m *model) compare(*rapid.T) {
	statuses, here := both(m, func(s stem.Store) ([]*stem.Status, error) { return s.Results.Load(m.ctx, m.ids...) })
	for i := range statuses {
		m.same("status of "+m.ids[i], m.shown(statuses[i]), m.shown(here[i]))
	}
	queries := []stem.StatusQuery{{State: stem.Succeeded}, {State: stem.Failed}, {State: stem.Cancelled}}
	if !m.caps.Composed {
		queries = append(queries, stem.StatusQuery{}, stem.StatusQuery{State: stem.Queued}, stem.StatusQuery{State: stem.Running}, stem.StatusQuery{Queue: "q"})
	}
	for _, q := range queries {
		q.Limit = wholePage
		want, got := both(m, func(s stem.Store) (stem.StatusPage, error) { return s.Results.List(m.ctx, q) })
		m.same("list of statuses", sorted(statusIDs(want.Items)), sorted(statusIDs(got.Items)))
	}
	counts, countsHere := both(m, func(s stem.Store) ([]stem.QueueCounts, error) { return s.Broker.(stem.Inspector).Queues(m.ctx) })
	m.same("counts", ageless(counts), ageless(countsHere))
	for _, queue := range every {
		want, got := both(m, func(s stem.Store) (stem.BrowsePage, error) {
			return s.Broker.(stem.Inspector).Browse(m.ctx, stem.BrowseQuery{Queue: queue, Limit: wholePage})
		})
		m.same("order of queue "+queue, statusIDs(want.Items), statusIDs(got.Items))
	}
	dead, deadHere := both(m, func(s stem.Store) (stem.DeadLetterPage, error) {
		return s.Broker.(stem.Inspector).DeadLetters(m.ctx, stem.DeadLetterQuery{Limit: wholePage})
	})
	m.same("dead letters", buried(dead.Items), buried(deadHere.Items))
	for _, q := range []stem.RecordQuery{{Kind: "k"}, {Kind: "k", DueBefore: m.clock.Now()}} {
		want, got := both(m, func(s stem.Store) (stem.RecordPage, error) { return s.Records.List(m.ctx, q) })
		m.same("records", written(want.Items), written(got.Items))
	}
	groups, groupsHere := both(m, func(s stem.Store) ([]*stem.GroupStatus, error) { return s.Results.LoadGroups(m.ctx, "g1", "g2") })
	for i := range groups {
		m.same("group", counted(groups[i]), counted(groupsHere[i]))
	}
}

// ageless leaves out the ages: stores look only at the first in each line.
func ageless(counts []stem.QueueCounts) []stem.QueueCounts {
	for i := range counts {
		counts[i].Oldest = 0
	}
	return counts
}

func (m *model) shown(s *stem.Status) any {
	if s == nil {
		return nil
	}
	if m.caps.Composed && !s.State.Terminal() {
		return s.State
	}
	failure := ""
	if s.Error != nil {
		failure = s.Error.Message
	}
	return []any{s.ID, s.Name, s.Queue, s.State, s.Attempt, s.Priority, string(s.Result), failure, s.Worker, s.GroupID, s.DueAt.UnixMicro()}
}

func buried(items []stem.DeadLetter) []any {
	out := []any{}
	for _, l := range items {
		l.Message.State.Epoch = 0
		failed := errors.New("")
		if l.Error != nil {
			failed = l.Error
		}
		out = append(out, []any{l.Message.ID, l.Message.Queue, l.Message.State, l.Message.Unique, l.Reason, failed.Error(), l.DeadAt.UnixMicro()})
	}
	return out
}

func written(items []stem.Record) []any {
	out := []any{}
	for _, r := range items {
		out = append(out, []any{r.RecordRef, string(r.Body), r.Due.UnixMicro(), r.Expires.UnixMicro(), r.Updated.UnixMicro()})
	}
	return out
}

func counted(g *stem.GroupStatus) any {
	if g == nil {
		return nil
	}
	var ended []string
	for id, state := range g.Ended {
		ended = append(ended, id+" "+string(state))
	}
	return []any{g.State, g.Members, sorted(ended), g.Callback != nil, g.Expires.UnixMicro()}
}

func sorted[T cmp.Ordered](items []T) []T {
	return slices.Sorted(slices.Values(items))
}
