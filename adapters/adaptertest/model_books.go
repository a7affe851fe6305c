package adaptertest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stemd/stem"
	"pgregory.net/rapid"
)

const (
	// bookTasks is how many tasks a run publishes in books at most.
	bookTasks = 120
	// wholePage is a limit that everything there is keeps within.
	wholePage = 1000
)

// book publishes many messages that have much in common, as a producer does that enqueues a list: a store may keep such together. Some are
// there already, in whatever state.
func (m *model) book(t *rapid.T) {
	n := rapid.IntRange(8, 30).Draw(t, "messages of a book")
	if len(m.ids)+n > bookTasks {
		t.Skip("there are enough tasks")
	}
	first := m.message(t)
	first.Lease, first.Unique, first.State = 0, stem.Reservation{}, stem.State{}
	again := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, 3, rapid.ID[int]).Draw(t, "known ones")
	if rapid.Bool().Draw(t, "all new") {
		again = nil
	}
	first.GeneratedID = rapid.Bool().Draw(t, "generated ids") && (len(again) == 0 || !m.caps.Composed)
	msgs := make([]stem.Message, n)
	for i := range msgs {
		msgs[i] = first
		msgs[i].ID = fmt.Sprintf("book-%03d", len(m.ids)+i)
	}
	known := m.ids
	if m.caps.Composed { // no generated ones, see message
		known = everyID
	} else if first.GeneratedID { // nobody else has generated the ids of single
		known = slices.DeleteFunc(slices.Clone(known), m.isSingle)
	}
	for _, i := range again {
		msgs[i].ID = rapid.SampledFrom(known).Draw(t, "known id")
	}
	for i := range msgs {
		msgs[i].Envelope.Body = []byte("body of " + msgs[i].ID)
	}
	for _, msg := range msgs {
		m.ids = append(m.ids, msg.ID)
	}
	want, got := both(m, func(s stem.Store) ([]stem.Published, error) { return s.Broker.Publish(m.ctx, msgs...) })
	m.same("publish of a book", want, got)
}

// finish ends many claims as most end: with a result and nothing else.
func (m *model) finish(t *rapid.T) {
	if len(m.claims) == 0 {
		t.Skip("nothing was claimed")
	}
	from := rapid.IntRange(0, len(m.claims)-1).Draw(t, "first claim")
	to := rapid.IntRange(from, min(from+20, len(m.claims)-1)).Draw(t, "last claim")
	with, ttl := rapid.Bool().Draw(t, "with result") || m.caps.Composed, drawSpan.Draw(t, "ttl")
	var want, got []stem.Settlement
	for _, c := range m.claims[from : to+1] {
		s := stem.Settlement{Kind: stem.Done}
		if with {
			s.Result = &stem.StatusWrite{Status: stem.Status{Name: task, Queue: c.want.Queue, State: stem.Succeeded, Result: []byte("r")}, TTL: ttl}
		}
		s.Receipt = c.want.Receipt
		want = append(want, s)
		s.Receipt = c.got.Receipt
		got = append(got, s)
	}
	m.settleBoth(want, got)
}

// page reads lists a part at a time: together the parts are the whole.
func (m *model) page(t *rapid.T) {
	limit := rapid.IntRange(1, 20).Draw(t, "limit")
	statuses := stem.StatusQuery{Limit: limit, State: stem.Succeeded}
	if !m.caps.Composed {
		statuses.State = rapid.SampledFrom([]stem.TaskState{"", stem.Queued, stem.Running, stem.Succeeded}).Draw(t, "state")
	}
	want, got := both(m, func(s stem.Store) (ids []string, err error) {
		for q := statuses; ; {
			page, err := s.Results.List(m.ctx, q)
			ids = append(ids, statusIDs(page.Items)...)
			if q.Cursor = page.Next; err != nil || q.Cursor == "" {
				return ids, err
			}
		}
	})
	m.same("list of statuses in parts", sorted(want), sorted(got))
	browse := stem.BrowseQuery{Queue: drawQueue.Draw(t, "queue"), Limit: limit}
	want, got = both(m, func(s stem.Store) (ids []string, err error) {
		for q := browse; ; {
			page, err := s.Broker.(stem.Inspector).Browse(m.ctx, q)
			ids = append(ids, statusIDs(page.Items)...)
			if q.Cursor = page.Next; err != nil || q.Cursor == "" {
				return ids, err
			}
		}
	})
	m.same("queue in parts", want, got)
}

// empty ends everything and lets it expire: then the storage holds nothing.
func (m *model) empty(t *testing.T) {
	if m.caps.Leftovers == nil {
		return
	}
	broker := m.got.Broker
	ask := stem.Claim{Max: wholePage, Owner: owner1}
	for _, q := range every {
		ask.Queues = append(ask.Queues, stem.QueueLimit{Queue: q})
	}
	for again := true; again; {
		m.clock.move(30 * 24 * time.Hour)
		ds, err := broker.Claim(m.ctx, ask)
		m.must(err)
		for _, d := range ds {
			errs, err := broker.Settle(m.ctx, stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
			m.must(err)
			m.must(errs[0])
		}
		again = len(ds) > 0
	}
	page, err := m.got.Records.List(m.ctx, stem.RecordQuery{Kind: "k"})
	m.must(err)
	for _, r := range page.Items {
		_, err := m.got.Records.Save(m.ctx, stem.RecordWrite{Record: r, Op: stem.DeleteRecord})
		m.must(err)
	}
	m.clock.move(30 * 24 * time.Hour)
	for more := true; more; {
		done, err := broker.(stem.Maintainer).Maintain(m.ctx)
		m.must(err)
		more = done.More
	}
	if left := m.caps.Leftovers(t, m.got); len(left) > 0 {
		m.Fatalf("everything has ended and expired, and there is still %v", left)
	}
}
