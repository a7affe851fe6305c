package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
)

// A message that comes alone is offered to who waits: it is in the inbox of its queue as others are, and in offers too, where a wait takes it
// out (bell.go). By that it is claimed, without a script and before the server has done anything else for it; whoever sorts the inbox
// sees that it was taken. Who took it books it at leisure, before he asks for anything that depends on it: see lua/book.lua.

const (
	// bookSoon is how long what was taken is not booked, so that it is on its way to its handler first.
	bookSoon = time.Millisecond
	// bookAgain is after how long it is tried again where that failed.
	bookAgain = time.Second
)

// taken are the tasks that this process has still to book. The zero value has none; it is safe for concurrent use.
type taken struct {
	took, done atomic.Uint64 // how many were taken, and booked, so far

	mu      sync.Mutex
	tasks   []stem.Lease
	soon    bool     // it is going to be booked by itself
	booking *booking // is under way; nil: none
}

// booking is one call that books; over is closed when err is known.
type booking struct {
	over chan struct{}
	err  error
}

// offerScore is where an offer stands: before less urgent and later ones.
func offerScore(priority int, time int64) int64 {
	const lane = 1 << 49 // as in lua/base.lua
	return int64(stem.MaxPriority-priority)*lane + time%lane
}

// take is what a wait gave. Its epoch is the time, as that of any claim: the server is told it.
func (b *broker) take(item string, call *claimCall) ([]stem.Delivery, error) {
	r := &reader{s: item}
	created, id, given := -r.number(), r.name(), r.blob()
	if r.err != nil {
		return nil, r.err
	}
	epoch := max(b.reckoned(), created+1)
	s, rest, err := decodeGiven(given, epoch, created)
	if err != nil {
		return nil, err
	}
	m, err := decodeMessage(s, rest)
	if err != nil {
		return nil, err
	}
	receipt := stem.Receipt{ID: id, Queue: m.Queue, Owner: call.owner, Epoch: s.Epoch, Position: place{claimed: epoch, name: m.Name}.String()}
	b.taken.mu.Lock()
	b.taken.tasks = append(b.taken.tasks, stem.Lease{Receipt: receipt, For: call.lease})
	b.taken.took.Add(1)
	b.taken.mu.Unlock()
	b.bookIn(bookSoon)
	return []stem.Delivery{{Message: m, LeasedUntil: at(epoch).Add(call.lease), Receipt: receipt}}, nil
}

// bookIn books after d, unless that is going to be done anyway.
func (d *db) bookIn(after time.Duration) {
	d.taken.mu.Lock()
	defer d.taken.mu.Unlock()
	if d.taken.soon {
		return
	}
	d.taken.soon = true
	time.AfterFunc(after, func() {
		d.start(func() {
			d.taken.mu.Lock()
			d.taken.soon = false
			d.taken.mu.Unlock()
			if d.booked(context.Background()) != nil {
				d.bookIn(bookAgain)
			}
		})
	})
}

// booked books what was taken so far and returns when that is done, also where another does it.
func (d *db) booked(ctx context.Context) error {
	t := &d.taken
	for want := t.took.Load(); t.done.Load() < want; {
		t.mu.Lock()
		one, tasks := t.booking, t.tasks[:min(len(t.tasks), settleMax)]
		mine := one == nil
		if mine {
			one = &booking{over: make(chan struct{})}
			t.booking = one
		}
		t.mu.Unlock()
		if mine {
			d.book(ctx, one, tasks)
		}
		select {
		case <-one.over:
		case <-ctx.Done():
			return ctx.Err()
		}
		// What failed for want of another's patience is tried with one's own.
		if err := one.err; err != nil && (mine || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)) {
			return err
		}
	}
	return nil
}

// book carries a booking out. Twice does no harm.
func (d *db) book(ctx context.Context, one *booking, tasks []stem.Lease) {
	if len(tasks) > 0 {
		lanes, args := d.keys.lanes(), make([]any, 0, 3*len(tasks))
		for _, l := range tasks {
			head := number(number(nil, int64(l.Receipt.Epoch)), l.For.Microseconds())
			args = append(args, short(head, lanes.number(l.Receipt.Queue)), l.Receipt.ID, l.Receipt.Owner)
		}
		var now int64
		if now, one.err = d.run(ctx, "book", lanes, args...).Int64(); one.err == nil {
			d.reckonBy(now)
		}
	}
	t := &d.taken
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.booking = nil; one.err == nil {
		t.tasks = append([]stem.Lease(nil), t.tasks[len(tasks):]...)
		t.done.Add(uint64(len(tasks)))
	}
	close(one.over)
}
