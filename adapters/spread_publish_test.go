package adapters_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// away is what can not be reached while it is down: "queue:q", "result:a", and of the directory "id:a", "key:k", "lane:q" and "lanes".
type away struct {
	down  bool
	names []string
}

func (w *away) miss(kind string, ids ...string) error {
	for _, id := range ids {
		if w.down && slices.Contains(w.names, kind+":"+id) {
			return errDead
		}
	}
	return nil
}

type awayRecords struct {
	stem.Records
	w *away
}

func (r awayRecords) Save(ctx context.Context, writes ...stem.RecordWrite) ([]int64, error) {
	for _, one := range writes {
		if err := r.w.miss(one.Record.Kind, one.Record.ID); err != nil {
			return nil, err
		}
	}
	return r.Records.Save(ctx, writes...)
}

func (r awayRecords) Load(ctx context.Context, refs ...stem.RecordRef) ([]*stem.Record, error) {
	for _, ref := range refs {
		if err := r.w.miss(ref.Kind, ref.ID); err != nil {
			return nil, err
		}
	}
	return r.Records.Load(ctx, refs...)
}

func (r awayRecords) List(ctx context.Context, q stem.RecordQuery) (stem.RecordPage, error) {
	if err := r.w.miss("list", q.Kind); err != nil {
		return stem.RecordPage{}, err
	}
	return r.Records.List(ctx, q)
}

type awayResults struct {
	stem.Results
	w     *away
	queue string // of a lane; empty: by id
}

func (r awayResults) miss(ids ...string) error {
	if r.queue != "" {
		return r.w.miss("queue", r.queue)
	}
	return r.w.miss("result", ids...)
}

func (r awayResults) Save(ctx context.Context, writes ...stem.StatusWrite) error {
	for _, one := range writes {
		if err := r.miss(one.Status.ID); err != nil {
			return err
		}
	}
	return r.Results.Save(ctx, writes...)
}

func (r awayResults) Load(ctx context.Context, ids ...string) ([]*stem.Status, error) {
	if err := r.miss(ids...); err != nil {
		return nil, err
	}
	return r.Results.Load(ctx, ids...)
}

// awayLane is a lane that can not be reached while w is down.
type awayLane struct {
	adapters.Lane
	w    *away
	name string
}

func (l awayLane) Publish(ctx context.Context, m ...stem.Message) ([]stem.Published, error) {
	if err := l.w.miss("queue", l.name); err != nil {
		return nil, err
	}
	return l.Lane.Publish(ctx, m...)
}

func (l awayLane) Knows(ctx context.Context, ids ...string) ([]bool, error) {
	if err := l.w.miss("queue", l.name); err != nil {
		return nil, err
	}
	return l.Lane.Knows(ctx, ids...)
}

func (l awayLane) Queues(ctx context.Context) ([]stem.QueueCounts, error) {
	if err := l.w.miss("queue", l.name); err != nil {
		return nil, err
	}
	return l.Lane.Queues(ctx)
}

func (l awayLane) DeadLetters(ctx context.Context, q stem.DeadLetterQuery) (stem.DeadLetterPage, error) {
	if err := l.w.miss("queue", l.name); err != nil {
		return stem.DeadLetterPage{}, err
	}
	return l.Lane.DeadLetters(ctx, q)
}

// missing is the store of which that much can not be reached while it is down.
func (a *archipelago) missing(names ...string) (stem.Store, *away) {
	w := &away{names: names}
	return adapters.Spread(adapters.Spreading{
		Lanes: a.every,
		Lane: func(name string) stem.Store {
			l, ok := a.lanes[name]
			if !ok {
				l = a.open()
				a.lanes[name] = l
			}
			return stem.Store{Broker: awayLane{l.Broker.(adapters.Lane), w, name}, Results: awayResults{l.Results, w, name}}
		},
		Directory: stem.Store{Records: awayRecords{a.directory.Records, w}},
		Results:   stem.Store{Results: awayResults{a.rest.Results, w, ""}}, Records: a.rest,
		Options: stem.NewStoreOptions(func(o *stem.StoreOptions) { o.Now = func() time.Time { return a.now } }),
	}), w
}

func (a *archipelago) generated(queue, id, key string) stem.Message {
	m := a.in(queue, id, key)
	m.GeneratedID = true
	return m
}

// Of the messages of a batch one needs something that can not be reached: its queue, what is known of its id or of its key, or its result.
func TestAPublishDoesNotFailWithAPartThatItDoesNotNeed(t *testing.T) {
	for _, missing := range []string{"queue:gone", "id:a", "key:key", "result:a"} {
		t.Run(missing, func(t *testing.T) {
			a := newArchipelago(t)
			well := a.as(&process{})
			queue := "q"
			if missing == "queue:gone" {
				queue = "gone"
			}
			s, w := a.missing(missing)
			a.publish(s, a.generated("r", "first", ""))
			w.down = true
			batch := []stem.Message{a.in(queue, "a", "key"), a.in("r", "b", "other"), a.generated("r", "c", ""), a.generated("q", "d", "")}
			out, err := s.Broker.Publish(t.Context(), batch...)
			if err != nil {
				t.Fatal(err)
			}
			if p := out[0]; p.State != stem.Unconfirmed || p.ID != "a" || !errors.Is(p.Err, stem.ErrUnreachable) || !errors.Is(p.Err, errDead) {
				t.Errorf("of the one that needs it became %+v", p)
			}
			for i, p := range out[1:] {
				if p.State != stem.Accepted || p.ID != batch[i+1].ID {
					t.Errorf("of %s became %+v", batch[i+1].ID, p)
				}
			}
			if out, err := s.Broker.Publish(t.Context(), batch[0]); !errors.Is(err, errDead) || !errors.Is(err, stem.ErrUnreachable) {
				t.Errorf("publishing it alone gave %v, %v", out, err)
			}
			w.down = false
			if p := a.publish(s, batch[0]); p.State != stem.Accepted {
				t.Errorf("publishing it again gave %+v", p)
			}
			for _, m := range batch {
				if m = again(m); a.publish(s, m).State != stem.Duplicate {
					t.Errorf("%s was accepted twice", m.ID)
				}
			}
			if ds := a.claim(well, "q", "r", "gone"); len(ds) != 5 {
				t.Errorf("there are %d tasks", len(ds))
			}
		})
	}
}

// again is a message that may have been published before.
func again(m stem.Message) stem.Message {
	m.State.Epoch = max(m.State.Epoch, 1)
	return m
}

func TestWhatNobodyKnowsYetIsPublishedWhileItsResultCanNotBeReached(t *testing.T) {
	a := newArchipelago(t)
	s, w := a.missing("result:a", "result:b", "result:e")
	w.down = true
	out, err := s.Broker.Publish(t.Context(), a.generated("q", "a", ""), a.in("q", "b", ""), a.in("q", "c", ""))
	if err != nil || out[0].State != stem.Accepted || out[1].State != stem.Unconfirmed || out[2].State != stem.Accepted {
		t.Fatalf("publishing gave %+v, %v", out, err)
	}
	out, err = s.Broker.Publish(t.Context(), a.in("q", "d", ""), a.generated("q", "e", ""))
	if err != nil || out[0].State != stem.Accepted || out[1].State != stem.Accepted {
		t.Fatalf("publishing beside one whose result can not be reached gave %+v, %v", out, err)
	}
}

// A publish was accepted and its answer did not come; the task moves, and then the publisher tries again.
func TestWhatIsPublishedAgainDoesNotRunTwiceThoughItHasMovedWhileItsResultCanNotBeReached(t *testing.T) {
	a := newArchipelago(t)
	well := a.as(&process{})
	s, w := a.missing("result:a")
	m := a.generated("q", "a", "")
	a.publish(s, m)
	for _, d := range a.claim(well, "q") {
		if err := a.settle(well, stem.Settlement{Receipt: d.Receipt, Kind: stem.Move, Queue: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	w.down = true
	if out, err := s.Broker.Publish(t.Context(), again(m)); !errors.Is(err, stem.ErrUnreachable) {
		t.Errorf("publishing again gave %+v, %v", out, err)
	}
	w.down = false
	if p := a.publish(s, again(m)); p.State != stem.Duplicate || p.ID != "a" {
		t.Errorf("publishing again gave %+v", p)
	}
	if ds := a.claim(well, "q", "r"); len(ds) != 1 {
		t.Errorf("there is %v", ds)
	}
}

func TestALaneThatCanNotBeListedNowIsListedByWhoWorksOnIt(t *testing.T) {
	a := newArchipelago(t)
	listed := func() (names []string) {
		t.Helper()
		counts, err := a.as(&process{}).Broker.(stem.Inspector).Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range counts {
			names = append(names, q.Queue)
		}
		return names
	}
	s, w := a.missing("lane:q")
	w.down = true
	if p := a.publish(s, a.generated("q", "a", "")); p.State != stem.Accepted {
		t.Fatalf("publishing gave %+v", p)
	}
	if got := listed(); len(got) > 0 {
		t.Fatalf("listed is %v", got)
	}
	worker := a.as(&process{})
	if ds := a.claim(worker, "q"); len(ds) != 1 {
		t.Fatalf("claimed %v", ds)
	}
	if _, err := worker.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := listed(); !slices.Equal(got, []string{"q"}) {
		t.Errorf("listed is %v", got)
	}
}

func TestLanesThatAreOnlyAskedWhileTheDirectoryIsAwayAreNotListed(t *testing.T) {
	a := newArchipelago(t)
	a.every = []string{"q", "r", "unused"}
	a.publish(a.as(&process{}), a.generated("r", "a", ""))
	s, w := a.missing("list:lane")
	a.claim(s, "q")
	w.down = true
	if counts, err := s.Broker.(stem.Inspector).Queues(t.Context()); err != nil || len(counts) != 1 || counts[0].Queue != "r" {
		t.Errorf("without the directory the counts are %v, %v", counts, err)
	}
	w.down = false
	a.maintain(s)
	part := "lanes"
	page, err := a.directory.Records.List(t.Context(), stem.RecordQuery{Kind: "lane", Part: &part})
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, r := range page.Items {
		listed = append(listed, r.ID)
	}
	if slices.Sort(listed); !slices.Equal(listed, []string{"q", "r"}) {
		t.Errorf("listed is %v", listed)
	}
}

// mute is a lane that neither takes what is published nor refuses it.
type mute struct{ adapters.Lane }

func (mute) Publish(ctx context.Context, _ ...stem.Message) ([]stem.Published, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAPublishWaitsSecondsForAQueueThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchipelago(t)
		s := a.as(&process{})
		a.publish(s, a.in("gone", "first", ""))
		l := a.lanes["gone"]
		l.Broker = mute{l.Broker.(adapters.Lane)}
		a.lanes["gone"] = l
		begun := time.Now()
		out, err := a.as(&process{}).Broker.Publish(t.Context(), a.in("gone", "a", ""), a.in("r", "b", ""))
		if err != nil || out[0].State != stem.Unconfirmed || out[1].State != stem.Accepted {
			t.Errorf("publishing gave %+v, %v", out, err)
		}
		if took := time.Since(begun); took > 10*time.Second { // of the bubble's clock
			t.Errorf("it took %v", took)
		}
	})
}
