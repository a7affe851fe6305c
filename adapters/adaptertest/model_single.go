package adaptertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
	"pgregory.net/rapid"
)

// singleTasks is how many tasks a run publishes as singles at most.
const singleTasks = 100

// single publishes few new tasks as producers do that enqueue one by one: with ids as stem.NewID gives them, which a store may take at their
// word. Which were there before it is told, as by a client whose call had no answer.
func (m *model) single(t *rapid.T) {
	if len(m.singles) >= singleTasks {
		t.Skip("there are enough tasks")
	}
	msgs := make([]stem.Message, rapid.SampledFrom([]int{1, 1, 1, 1, 2, 3, 12, 33}).Draw(t, "singles"))
	for i := range msgs {
		msgs[i] = m.message(t)
		msgs[i].ID = fmt.Sprintf("00000000-0000-7000-8000-%012d", len(m.singles))
		msgs[i].GeneratedID, msgs[i].State.NotBefore = true, time.Time{}
		if rapid.IntRange(0, 9).Draw(t, "plain") > 0 {
			msgs[i].Unique, msgs[i].Lease = stem.Reservation{}, 0
		}
		msgs[i].Envelope.Body = []byte("body of " + msgs[i].ID)
		m.ids = append(m.ids, msgs[i].ID)
		m.singles = append(m.singles, msgs[i])
	}
	if len(m.singles) > len(msgs) && rapid.IntRange(0, 3).Draw(t, "again") == 0 && !m.caps.Composed {
		again := rapid.SampledFrom(m.singles[:len(m.singles)-len(msgs)]).Draw(t, "which")
		if again.State.Epoch = 1; rapid.Bool().Draw(t, "as a chosen id") {
			again.State.Epoch, again.GeneratedID, again.Queue = 0, false, drawQueue.Draw(t, "its queue")
		}
		msgs = slices.Insert(msgs, rapid.IntRange(0, len(msgs)).Draw(t, "at"), again)
	}
	want, got := both(m, func(s stem.Store) ([]stem.Published, error) { return s.Broker.Publish(m.ctx, msgs...) })
	m.same("publish of singles", want, got)
}

// isSingle says whether an id is one of those.
func (m *model) isSingle(id string) bool {
	return slices.ContainsFunc(m.singles, func(s stem.Message) bool { return s.ID == id })
}
