package redis

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

const (
	// listeners is how many bells this process listens to at the same time, each with a connection of its own: as many as there are
	// parts. Where several pools have queues in most of them, those that rang last are heard, and the others looked at every second.
	listeners = laneCount
	// listenPatience is how long one listens before the server is asked anew.
	listenPatience = 5 * time.Second
	// emptyFor is how long what was found empty counts as that while its bell is listened to.
	emptyFor = time.Second
)

// rings is where this process waits for the queues of a spread namespace: it looks at many parts in one round trip to each node, and
// listens to the bell of each part as long as claims wait for it, without beginning anew for every claim. Where the bell is listened to
// nothing is looked at that was found empty, until the bell rings, something becomes due, or a second has passed.
type rings struct {
	c *conn

	mu     sync.Mutex
	at     map[string]*listener    // by key of the ask
	last   map[string]time.Time    // when they rang
	seen   map[string]time.Time    // until when they count as empty
	failed map[chan struct{}]error // who could not listen everywhere
}

var _ adapters.Watch = (*rings)(nil)

// listener listens to the bells of an ask.
type listener struct{ waiting map[chan struct{}]struct{} }

func newRings(c *conn) *rings {
	return &rings{c: c, at: map[string]*listener{}, last: map[string]time.Time{}, seen: map[string]time.Time{}, failed: map[chan struct{}]error{}}
}

// askKey names an ask of a namespace.
func askKey(a adapters.Ask) string {
	return a.Lane.(*broker).keys.prefix + strings.Join(a.Queues, "\x00")
}

// Look implements adapters.Watch.
func (r *rings) Look(ctx context.Context, wait bool, asks []adapters.Ask) []adapters.Outlook {
	out := make([]adapters.Outlook, len(asks))
	now := time.Now()
	var calls []*call
	var at []int
	for i, a := range asks {
		if until, empty := r.empty(a, now); empty && wait {
			out[i] = adapters.Outlook{There: make([]bool, len(a.Queues)), Next: until.Sub(now)}
			continue
		}
		d := a.Lane.(*broker).db
		calls = append(calls, &call{script: "look", lanes: d.keys.lanes(a.Queues...), args: []any{d.clock(), len(a.Queues)}})
		at = append(at, i)
	}
	r.c.runApart(ctx, calls)
	for n, i := range at {
		o := &out[i]
		o.There, o.Next = make([]bool, len(asks[i].Queues)), time.Hour
		answer, err := calls[n].cmd.Int64Slice()
		if err != nil {
			o.Err = err
			continue
		}
		if answer[0] >= 0 {
			o.Next = time.Duration(answer[0]) * time.Microsecond
		}
		for _, q := range answer[1:] {
			o.There[q-1] = true
		}
		if !slices.Contains(o.There, true) {
			r.found(asks[i], now, min(o.Next, emptyFor))
		}
	}
	return out
}

// empty says whether a bell is listened to at a place that was found empty, and until when that counts.
func (r *rings) empty(a adapters.Ask, now time.Time) (until time.Time, empty bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := askKey(a)
	until = r.seen[key]
	return until, r.at[key] != nil && !r.c.ownClock && now.Before(until)
}

// found notes that a look begun at a time found nothing, unless it rang since.
func (r *rings) found(a adapters.Ask, begun time.Time, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key := askKey(a); r.at[key] != nil && !r.last[key].After(begun) {
		r.seen[key] = begun.Add(next)
	}
}

// Await implements adapters.Watch.
func (r *rings) Await(ctx context.Context, wait time.Duration, asks []adapters.Ask) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	rang := make(chan struct{}, 1)
	if !r.join(rang, asks) {
		return false, stem.ErrClosed
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	var err error
	there := false
	select {
	case <-rang:
		there = true
	case <-over.C:
	case <-ctx.Done():
		err = ctx.Err()
	case <-r.c.life.Done():
		err = stem.ErrClosed
	}
	failed := r.part(rang, asks)
	select {
	case <-rang:
		there = true
	default:
	}
	if err != nil && there { // somebody else can use it
		for _, a := range asks {
			a.Lane.(*broker).pass(a.Queues)
		}
	}
	if err != nil {
		return false, err
	}
	if there {
		return true, nil
	}
	return false, failed
}

// join has rang told of the bells of these asks; false: the store is closed.
func (r *rings) join(rang chan struct{}, asks []adapters.Ask) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if missing := len(asks) - (listeners - len(r.at)); missing > 0 { // those that rang last come first
		asks = slices.Clone(asks)
		slices.SortStableFunc(asks, func(x, y adapters.Ask) int {
			return cmp.Compare(r.last[askKey(y)].UnixNano(), r.last[askKey(x)].UnixNano())
		})
	}
	for _, a := range asks {
		key := askKey(a)
		l := r.at[key]
		if l == nil {
			if len(r.at) >= listeners {
				continue
			}
			l = &listener{waiting: map[chan struct{}]struct{}{}}
			if !r.c.start(func() { r.listen(key, l, a) }) {
				return false
			}
			r.at[key] = l
		}
		l.waiting[rang] = struct{}{}
	}
	return true
}

// part undoes join, and says whether a bell could not be listened to.
func (r *rings) part(rang chan struct{}, asks []adapters.Ask) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range asks {
		if l := r.at[askKey(a)]; l != nil {
			delete(l.waiting, rang)
		}
	}
	err := r.failed[rang]
	delete(r.failed, rang)
	return err
}

// listen tells who waits of each ring. It ends when it has listened for long and nobody waits; a ring that comes then is for others.
func (r *rings) listen(key string, l *listener, a adapters.Ask) {
	b := a.Lane.(*broker)
	own, stays, woken := b.wakeOn(r.c.life)
	wait := b.bells(a.Queues, own, listenPatience, false)
	for {
		bell, err := r.c.waiting.Do(context.Background(), wait...).Slice()
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		if goOn, pass := r.rung(key, l, len(bell) > 0 && bell[0] != own, err); goOn {
			continue
		} else if pass {
			_ = b.tell("ZADD", bell[0], 0, "r")
		}
		if !stays() {
			<-woken
			_ = b.tell("ZREM", own, "r") // if it came after another
		}
		return
	}
}

// rung notes how listening ended: with a ring, an error, or neither. pass: the ring is for somebody else.
func (r *rings) rung(key string, l *listener, rang bool, err error) (goOn, pass bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rang {
		r.last[key] = time.Now()
		delete(r.seen, key)
		if len(r.last) > maxRung {
			clear(r.last)
		}
		for w := range l.waiting {
			select {
			case w <- struct{}{}:
			default: // it knows
			}
		}
	}
	if err == nil && len(l.waiting) > 0 && !r.c.closed.Load() {
		return true, false
	}
	for w := range l.waiting {
		if err != nil {
			r.failed[w] = err
		}
	}
	delete(r.at, key)
	delete(r.seen, key)
	return false, rang && len(l.waiting) == 0
}

// maxRung bounds what is remembered of rings.
const maxRung = 10_000

// pass gives a ring that may have been taken to the next who waits.
func (b *broker) pass(queues []string) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	pipe := b.client.Pipeline()
	for _, q := range queues {
		pipe.ZAdd(ctx, b.keys.bell(q), redis.Z{Member: "r"})
	}
	_, _ = pipe.Exec(ctx) // a ring that is lost costs time, no task
}
