package adapters

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stemd/stem"
)

// Spreading is what Spread makes one store of.
type Spreading struct {
	// Lane opens the store of a lane, whose Broker is a Lane and whose Results know the tasks in it. It is called once for each
	// lane that this process comes to use, and does not reach for a server.
	Lane func(name string) stem.Store
	// Lanes names all lanes there can be, where they are so few that each can be asked when the directory does not answer; else nil.
	Lanes []string
	// LaneOf names the lane of a queue; nil: it has one of its own, but the private queues of subscribers share one.
	LaneOf func(queue string) string
	// Watch looks and waits at many lanes; nil: each is asked for itself.
	Watch Watch
	// Directory holds the records by which lanes know of each other, and nothing else.
	Directory stem.Store
	// Results and Records are those of the whole.
	Results, Records stem.Store
	// Limiter keeps the rates of the whole; nil: there are none.
	Limiter stem.Limiter
	Options stem.StoreOptions
	Info    stem.StoreInfo
}

// Spread makes one store of many that know nothing of each other, so that no server has to hold all of it: every queue is in a
// lane, a store of its own, and within one everything is as atomic as that store makes it. What must hold over all lanes is kept in the
// directory, as small records that are changed by compare-and-swap:
//
//   - a chosen id names the lane it was published to. The entry is made before the task is, so an entry may stand for nothing when a
//     producer died in between: it counts only if its lane knows the id, and is taken over after a grace;
//   - a unique key names its holder. It counts only while that task lives;
//   - a lane is listed before anything is published to it, or later if the directory does not answer then.
//
// An id that was generated needs no entry: nobody else makes the same one, and who repeats a publish repeats it to the same lane. As
// far as its status is known it is looked for in all lanes.
//
// A task that moves to another lane is first adopted there, then leaves the old one. It is noted before where it goes, and for as long as it
// may still be in the old one: after a crash in between whoever claims it there, or maintains the store, finishes the move, however late,
// and the other lane adopts a stay once, whatever became of the task meanwhile. Follow-ups are published before the task that asks for them leaves.
// Results and records follow in the order that Compose has.
func Spread(s Spreading) stem.Store {
	b := &spreadBroker{Spreading: s, lanes: map[string]*lane{}, listed: map[string]time.Time{}}
	b.directory = directory{s.Directory.Records}
	if b.LaneOf == nil {
		b.LaneOf = laneOf
	}
	if b.Watch == nil {
		b.Watch = watch{}
	}
	live := stem.Store{Broker: b, Results: &spreadResults{s.Results.Results, b}, Info: s.Info, CloseFunc: b.close}
	store := Compose(live, s.Results, s.Records)
	store.Info = s.Info
	store.Info.OneFile = false
	return store
}

// spreadBroker is the Broker of a spread store.
type spreadBroker struct {
	Spreading
	directory directory
	hints     hints
	leases    lengths

	mu     sync.Mutex
	lanes  map[string]*lane
	listed map[string]time.Time // the lanes that this process works on, and when they are to be put into the directory again
	closed bool
}

var _ interface {
	stem.Broker
	stem.Inspector
	stem.Maintainer
	stem.Takeover
	stem.Limiter
} = (*spreadBroker)(nil)

// lane is the store of a lane that this process has opened.
type lane struct {
	Lane
	name    string
	results stem.Results
	close   func() error
}

func (b *spreadBroker) laneOf(queue string) string { return b.LaneOf(queue) }

// lane opens a lane or gives the one that is open.
func (b *spreadBroker) lane(name string) (*lane, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, stem.ErrClosed
	}
	if l := b.lanes[name]; l != nil {
		return l, nil
	}
	s := b.Lane(name)
	broker, ok := s.Broker.(Lane)
	if !ok {
		return nil, fmt.Errorf("lane %s: %w: its broker can not be one of many", name, stem.ErrUnsupported)
	}
	l := &lane{Lane: broker, name: name, results: s.Results, close: s.Close}
	b.lanes[name] = l
	return l, nil
}

const (
	// listedFor is how long this process relies on a lane's being in the directory, should the directory be emptied.
	listedFor = time.Minute
	// listAgain is when it is tried again to put one there, if that failed.
	listAgain = 5 * time.Second
)

// list puts lanes into the directory. Nothing is lost in one that is not there: it is missing where all lanes are asked, but for processes
// that work on it, and for no longer than until one of these maintains the store.
func (b *spreadBroker) list(ctx context.Context, names []string) error {
	var writes []stem.RecordWrite
	now := time.Now()
	b.mu.Lock()
	for _, name := range names {
		if !now.Before(b.listed[name]) {
			writes = append(writes, stem.RecordWrite{Record: stem.Record{RecordRef: laneRef(name)}, Op: stem.CreateRecord})
		}
	}
	b.mu.Unlock()
	if len(writes) == 0 {
		return nil
	}
	_, _, err := b.directory.save(ctx, writes)
	next := now.Add(listedFor)
	if err != nil {
		next = now.Add(listAgain)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range writes {
		b.listed[w.Record.ID] = next
	}
	return err
}

// worksOn notes a lane that is claimed from: it may hold what those who published it could not list.
func (b *spreadBroker) worksOn(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.listed[name]; !known {
		b.listed[name] = time.Time{}
	}
}

// enlist puts the lanes that this process works on into the directory, should those who published there not have been able to.
func (b *spreadBroker) enlist(ctx context.Context) (more bool, err error) {
	b.mu.Lock()
	names := slices.Sorted(maps.Keys(b.listed))
	b.mu.Unlock()
	return false, b.list(ctx, names)
}

// all are the lanes in the directory and those that this process works on, by name; all there can be when the directory does not say.
func (b *spreadBroker) all(ctx context.Context) ([]*lane, error) {
	soon, cancel := ctx, func() {}
	if b.Lanes != nil { // it can do without the directory
		soon, cancel = context.WithTimeout(ctx, lookPatience)
	}
	defer cancel()
	names, err := b.directory.lanes(soon)
	if err != nil && b.Lanes != nil && ctx.Err() == nil {
		names, err = slices.Clone(b.Lanes), nil
	}
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	names = slices.AppendSeq(names, maps.Keys(b.listed))
	b.mu.Unlock()
	slices.Sort(names)
	var out []*lane
	for _, name := range slices.Compact(names) {
		l, err := b.lane(name)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

func (b *spreadBroker) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(b.lanes)) {
		errs = append(errs, b.lanes[name].close())
	}
	clear(b.lanes)
	return Joined(append(errs, b.Directory.Close())...)
}

// now is this host's clock, or the one that the store was given. It is compared with other times only where a few seconds do not matter.
func (b *spreadBroker) now() time.Time { return b.Options.Now() }

// abreast is how many lanes are asked at the same time.
const abreast = 32

// each does something for every item, several at a time, and waits for all.
func each[T any](items []T, do func(i int, item T) error) error {
	if len(items) == 1 {
		return do(0, items[0])
	}
	return Joined(Abreast(len(items), abreast, func(i int) error { return do(i, items[i]) })...)
}

// byLane sorts indexes of things into lanes, which come in the order in which they first appear.
type byLane struct {
	names []string
	at    map[string][]int
}

func (g *byLane) add(lane string, i int) {
	if g.at == nil {
		g.at = map[string][]int{}
	}
	if _, known := g.at[lane]; !known {
		g.names = append(g.names, lane)
	}
	g.at[lane] = append(g.at[lane], i)
}

// inLanes does something in each lane, side by side.
func (b *spreadBroker) inLanes(g *byLane, do func(l *lane, at []int) error) error {
	return each(g.names, func(_ int, name string) error {
		l, err := b.lane(name)
		if err != nil {
			return err
		}
		return do(l, g.at[name])
	})
}
