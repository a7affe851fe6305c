package adaptertest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
	"pgregory.net/rapid"
)

// Model drives the store that open gives and the memory store side by side through random operations (publish, claim, extend and
// settle, also with stale receipts; records, groups, dead letters; passing time, dead claimers, and where there is a sibling
// reopened handles) and compares every answer and, after every operation, every count and status. The adapter must have
// Capabilities.Clock and Inspector. A failure prints the shortest run that shows it and how to repeat it.
func Model(t *testing.T, open Open, caps Capabilities) {
	if !caps.Clock || !caps.Inspector {
		t.Fatal("the model moves the store's clock and looks into its queues: it needs Capabilities.Clock and Inspector")
	}
	runs := modelRuns
	if caps.Composed && !caps.Virtual {
		runs = composedRuns
	}
	if caps.ModelRuns > 0 {
		runs = strconv.Itoa(caps.ModelRuns)
	}
	checks(t, runs, func(rt *rapid.T) {
		m := &model{T: rt, ctx: t.Context(), caps: caps, clock: &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
		m.open = func(of stem.Store) stem.Store {
			now := func(o *stem.StoreOptions) { o.Now = m.clock.Now }
			if of.Broker != nil {
				return caps.Sibling(t, of, now)
			}
			return open(t, now)
		}
		m.start()
		defer m.stop()
		rt.Repeat(m.actions())
		m.T = rt
		m.empty(t)
	})
}

// modelRuns is how many runs Model makes unless -rapid.checks says: each opens a store of its own. To look at everything there is costs a
// composed store on servers several times as much.
const (
	modelRuns    = "20"
	composedRuns = "12"
)

// checks runs a property so many times. Their number is one for the whole process, and is read as a check begins: others wait for that.
func checks(t *testing.T, runs string, property func(*rapid.T)) {
	checking.Lock()
	var begun sync.Once
	defer begun.Do(checking.Unlock)
	if !checksSaid() {
		if err := flag.Set("rapid.checks", runs); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		begun.Do(checking.Unlock)
		property(rt)
	})
}

var checking sync.Mutex

// checksSaid says whether the command line says how often.
var checksSaid = sync.OnceValue(func() (said bool) {
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "rapid.checks" })
	return said
})

// model is the two stores and what is known of both.
type model struct {
	*rapid.T
	ctx   context.Context
	caps  Capabilities
	clock *clock
	open  func(of stem.Store) stem.Store

	want, got stem.Store     // the memory store, and the one under test
	claims    []claims       // every claim there was, the stale ones too
	ids       []string       // every task there was
	singles   []stem.Message // those of them that single published, see there
	versions  map[stem.RecordRef][][2]int64
}

// claims is one claim of a task in both stores.
type claims struct{ want, got stem.Delivery }

func (m *model) start() {
	var err error
	m.want, err = memory.Open(m.ctx, "memory://", func(o *stem.StoreOptions) { o.Now = m.clock.Now })
	m.must(err)
	m.got = m.open(stem.Store{})
	m.versions = map[stem.RecordRef][][2]int64{}
	m.ids = slices.Clone(everyID)
}

func (m *model) stop() {
	m.must(m.want.Close())
	m.must(m.got.Close())
}

func (m *model) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatalf("unexpected error: %v", err)
	}
}

func (m *model) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"publish":  m.publish,
		"single":   m.single,
		"book":     m.book,
		"claim":    m.claim,
		"extend":   m.extend,
		"settle":   m.settle,
		"finish":   m.finish,
		"save":     m.saveResult,
		"pass":     m.pass,
		"records":  m.record,
		"open":     m.openGroup,
		"tally":    m.tally,
		"replay":   m.replay,
		"purge":    m.purge,
		"expire":   m.expire,
		"maintain": m.maintain,
		"release":  m.release,
		"page":     m.page,
		"":         m.compare,
	}
	if m.caps.Sibling != nil {
		actions["reopen"] = m.reopen
	}
	// Time moves with every action, so that no two fall on one instant.
	for name, act := range actions {
		actions[name] = func(t *rapid.T) {
			m.T = t
			if name != "" {
				m.clock.move(time.Microsecond)
			}
			act(t)
		}
	}
	return actions
}

// both runs an operation on the memory store and on the one under test.
func both[T any](m *model, do func(stem.Store) (T, error)) (want, got T) {
	m.Helper()
	want, err := do(m.want)
	m.must(err)
	got, err = do(m.got)
	m.must(err)
	return want, got
}

// outcome is what an error means, the same in every store.
func outcome(err error) string {
	var option *stem.OptionError
	var size *stem.SizeError
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, stem.ErrLeaseLost):
		return "lease lost"
	case errors.Is(err, stem.ErrConflict):
		return "conflict"
	case errors.As(err, &option), errors.As(err, &size):
		return "invalid"
	}
	return "refused"
}

func (m *model) same(what string, want, got any) {
	m.Helper()
	if w, g := fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got); w != g {
		m.Fatalf("%s differs\n memory: %s\n   here: %s", what, w, g)
	}
}

var (
	drawID       = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"})
	drawQueue    = rapid.SampledFrom([]string{"q", "r"})
	drawKey      = rapid.SampledFrom([]string{"", "", "", "k1", "k2"})
	drawOwner    = rapid.SampledFrom([]string{owner1, owner2})
	drawDelay    = rapid.SampledFrom([]time.Duration{0, 0, time.Second, time.Minute, time.Hour})
	drawSpan     = rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour})
	drawPassing  = rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, time.Minute, time.Hour, 25 * time.Hour, 8 * 24 * time.Hour})
	drawTerminal = rapid.SampledFrom([]stem.TaskState{stem.Succeeded, stem.Succeeded, stem.Failed, stem.Cancelled})
	drawGroup    = rapid.SampledFrom([]string{"g1", "g2"})
)

func (m *model) message(t *rapid.T) stem.Message {
	id := drawID.Draw(t, "id")
	header, err := stem.EncodeHeader(&stem.Header{ID: id, Name: task, Canvas: stem.Canvas{GroupID: rapid.SampledFrom([]string{"", "g1"}).Draw(t, "member of")}})
	m.must(err)
	msg := stem.Message{
		ID: id, Name: task, Queue: drawQueue.Draw(t, "queue"), Priority: rapid.IntRange(0, 2).Draw(t, "priority"),
		Envelope: stem.Envelope{Header: header, Body: []byte(id)}, GeneratedID: rapid.Bool().Draw(t, "generated") && !m.caps.Composed, // such stores rely on it that nobody makes the same id
		Lease: rapid.SampledFrom([]time.Duration{0, 0, 10 * time.Second}).Draw(t, "lease"),
	}
	if key := drawKey.Draw(t, "key"); key != "" {
		msg.Unique = stem.Reservation{Key: key, For: drawSpan.Draw(t, "key for")}
	}
	if d := drawDelay.Draw(t, "delay"); d > 0 {
		msg.State.NotBefore = m.clock.Now().Add(d)
	}
	return msg
}

func (m *model) messages(t *rapid.T, low, high int) []stem.Message {
	out := make([]stem.Message, rapid.IntRange(low, high).Draw(t, "messages"))
	for i := range out {
		out[i] = m.message(t)
	}
	return out
}

func (m *model) pass(t *rapid.T) { m.clock.move(drawPassing.Draw(t, "time")) }

func (m *model) reopen(*rapid.T) {
	next := m.open(m.got)
	m.must(m.got.Close())
	m.got = next
}
