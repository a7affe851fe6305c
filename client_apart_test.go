package stem_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem"
)

// parted is a broker in parts: those that have queues whose names begin with "far" do not confirm.
type parted struct {
	stem.Broker
	landing bool // what they do not confirm they accept all the same

	mu    sync.Mutex
	fails int // so many calls from now on; < 0: for ever
	calls [][]string
}

var errSilent = errors.New("it does not answer")

func (p *parted) Publish(ctx context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	var near, lost []stem.Message
	var at []int
	var queues []string
	out := make([]stem.Published, len(msgs))
	p.mu.Lock()
	for i, m := range msgs {
		if queues = append(queues, m.Queue); p.fails != 0 && strings.Contains(m.Queue, "far") {
			out[i] = stem.Published{State: stem.Unconfirmed, ID: m.ID, Err: fmt.Errorf("publish: %w: %w", stem.ErrUnreachable, errSilent)}
			lost = append(lost, m)
		} else {
			near, at = append(near, m), append(at, i)
		}
	}
	p.calls, p.fails = append(p.calls, queues), p.fails-1
	p.mu.Unlock()
	if p.landing {
		if _, err := p.Broker.Publish(ctx, lost...); err != nil {
			return nil, err
		}
	}
	if len(near) == 0 {
		return nil, out[0].Err
	}
	answers, err := p.Broker.Publish(ctx, near...)
	for n, i := range at {
		out[i] = answers[n]
	}
	return out, err
}

func call(queue string, opts ...stem.Option) stem.Call {
	return stem.Call{Name: "t", Options: append(opts, stem.Queue(queue))}
}

func partedClient(t *testing.T, p *parted, opts ...stem.ClientOption) (*stem.Client, stem.Store) {
	t.Helper()
	store := open(t)
	p.Broker = store.Broker
	seen := store
	seen.Broker = p
	return stem.NewClient(seen, opts...), store
}

func ready(t *testing.T, store stem.Store) map[string]int {
	t.Helper()
	counts, err := store.Broker.(stem.Inspector).Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, q := range counts {
		out[q.Queue] = q.Ready
	}
	return out
}

func TestOnlyThoseWhosePartOfTheStoreIsAwayAreNotEnqueued(t *testing.T) {
	published := 0
	hook := stem.WithHooks(stem.Hooks{AfterPublish: func(context.Context, *stem.Header, stem.Published) { published++ }})
	client, store := partedClient(t, &parted{fails: -1}, hook)
	results, err := client.EnqueueMany(t.Context(), call("near"), call("far"), call("near"))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if away := i == 1; errors.Is(r.Err, stem.ErrUnreachable) != away || !away && r.Err != nil || r.ID == "" {
			t.Errorf("call %d gave %+v", i, r)
		}
	}
	if got := ready(t, store); got["near"] != 2 || got["far"] != 0 || published != 2 {
		t.Errorf("ready are %v, the hook saw %d", got, published)
	}
	if h, err := client.Enqueue(t.Context(), "t", nil, stem.Queue("far")); !errors.Is(err, stem.ErrUnreachable) || !errors.Is(err, errSilent) {
		t.Errorf("alone it gave %v, %v", h, err)
	}
}

func TestEnqueuesThatShareARoundTripDoNotShareAnUnreachablePart(t *testing.T) {
	client, _ := partedClient(t, &parted{fails: -1})
	errs := make(chan error)
	const n = 200
	for i := range n {
		queue := []string{"near", "far"}[i%2]
		go func() {
			_, err := client.Enqueue(t.Context(), "t", nil, stem.Queue(queue))
			if (queue == "far") == errors.Is(err, stem.ErrUnreachable) && (err == nil) == (queue == "near") {
				err = nil
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestOnlyWhatWasNotConfirmedIsPublishedAgainAndCountsOnce(t *testing.T) {
	for _, landing := range []bool{false, true} {
		t.Run(fmt.Sprintf("accepted all the same: %t", landing), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &parted{fails: 2, landing: landing}
				client, store := partedClient(t, p)
				again := stem.PublishRetry(stem.RetryPolicy{DefaultDelay: time.Second})
				results, err := client.EnqueueMany(t.Context(), call("near", again), call("far", again), call("near", again), call("far-off", again))
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range results {
					if r.Err != nil || r.Duplicate || r.ID == "" {
						t.Errorf("call %d gave %+v", i, r)
					}
				}
				want := [][]string{{"near", "far", "near", "far-off"}, {"far", "far-off"}, {"far", "far-off"}}
				if !slices.EqualFunc(p.calls, want, slices.Equal[[]string]) {
					t.Errorf("published were %v", p.calls)
				}
				if got := ready(t, store); got["near"] != 2 || got["far"] != 1 || got["far-off"] != 1 {
					t.Errorf("ready are %v", got)
				}
				p.fails, p.calls = 1, nil
				h, err := client.Enqueue(t.Context(), "t", nil, stem.Queue("far"), again)
				if err != nil || h.Duplicate() || len(p.calls) != 2 {
					t.Errorf("alone it gave %v, %v after %d calls", h, err, len(p.calls))
				}
			})
		})
	}
}

// insistent is a broker that tries each publish twice, as one does whose connection was cut before the answer.
type insistent struct{ stem.Broker }

func (i insistent) Publish(ctx context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	if _, err := i.Broker.Publish(ctx, msgs...); err != nil {
		return nil, err
	}
	return i.Broker.Publish(ctx, msgs...)
}

func TestATaskIsNoDuplicateOfItselfThoughItsStoreTriedTwice(t *testing.T) {
	store := open(t)
	store.Broker = insistent{store.Broker}
	client := stem.NewClient(store)
	if h, err := client.Enqueue(t.Context(), "t", nil); err != nil || h.Duplicate() {
		t.Errorf("alone it gave %v, %v", h, err)
	}
	if results, err := client.EnqueueMany(t.Context(), call("q")); err != nil || results[0].Duplicate {
		t.Errorf("in a batch it gave %+v, %v", results, err)
	}
}

func TestWhatIsNeverConfirmedIsTheCallersAfterTheRetriesAndTheRestIsEnqueued(t *testing.T) {
	client, _ := partedClient(t, &parted{fails: -1})
	again := stem.PublishRetry(stem.RetryPolicy{})
	results, err := client.EnqueueMany(t.Context(), call("near", again), call("far", again))
	if err != nil || results[0].Err != nil || !errors.Is(results[1].Err, stem.ErrUnreachable) {
		t.Errorf("enqueuing gave %+v, %v", results, err)
	}
	if _, err := client.EnqueueMany(t.Context(), call("far", again)); !errors.Is(err, stem.ErrUnreachable) {
		t.Errorf("with nothing else it gave %v", err)
	}
}

// unread are records that can not be read.
type unread struct{ stem.Records }

func (unread) List(context.Context, stem.RecordQuery) (stem.RecordPage, error) {
	return stem.RecordPage{}, errSilent
}

func TestATaskIsEnqueuedThoughItIsNotKnownWhereItsHomeIs(t *testing.T) {
	store := open(t)
	away := store
	away.Records = unread{store.Records}
	client := stem.NewClient(away)
	for range 2 {
		if _, err := client.Enqueue(t.Context(), "mail.send", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Declared(t.Context()); !errors.Is(err, errSilent) {
			t.Errorf("what is declared gave %v", err)
		}
	}
	if got := ready(t, store); got[stem.DefaultQueue] != 2 {
		t.Errorf("ready are %v", got)
	}
}

func TestABroadcastReachesThoseWhoCanBeReachedAndSaysThatItMissedOthers(t *testing.T) {
	p := &parted{}
	client, store := partedClient(t, p)
	for _, who := range []string{"a", "far-b", "c"} {
		if _, err := client.Subscribe(t.Context(), "news", who); err != nil {
			t.Fatal(err)
		}
	}
	p.fails = 1
	_, n, err := client.Broadcast(t.Context(), "news", "t", nil, stem.TaskID("x"))
	if n != 2 || !errors.Is(err, stem.ErrUnreachable) {
		t.Errorf("broadcasting reached %d, %v", n, err)
	}
	if _, n, err := client.Broadcast(t.Context(), "news", "t", nil, stem.TaskID("x")); n != 3 || err != nil {
		t.Errorf("broadcasting again reached %d, %v", n, err)
	}
	total := 0
	for _, n := range ready(t, store) {
		total += n
	}
	if total != 3 {
		t.Errorf("there are %d copies", total)
	}
}

// unwritten are records that can not be written while down.
type unwritten struct {
	stem.Records
	down atomic.Bool
}

func (u *unwritten) Save(ctx context.Context, w ...stem.RecordWrite) ([]int64, error) {
	if u.down.Load() {
		return nil, errSilent
	}
	return u.Records.Save(ctx, w...)
}

func TestASubscriptionThatCouldNotBeRenewedIsThereSoonAfterTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := open(t)
		records := &unwritten{Records: store.Records}
		seen := store
		seen.Records = records
		s, err := stem.NewClient(seen).Subscribe(t.Context(), "news", "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		kept := make(chan error)
		go func() { kept <- s.Keep(ctx) }()
		records.down.Store(true)
		time.Sleep(2 * time.Minute) // of the bubble's clock
		client := stem.NewClient(store)
		if _, n, err := client.Broadcast(t.Context(), "news", "t", nil); n != 0 || err != nil {
			t.Errorf("meanwhile broadcasting reached %d, %v", n, err)
		}
		records.down.Store(false)
		time.Sleep(2 * time.Second)
		if _, n, err := client.Broadcast(t.Context(), "news", "t", nil); n != 1 || err != nil {
			t.Errorf("afterwards broadcasting reached %d, %v", n, err)
		}
		cancel()
		if err := <-kept; err != nil {
			t.Error(err)
		}
	})
}
