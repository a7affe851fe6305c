package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

var _ adapters.Lane = (*broker)(nil)

// Knows implements adapters.Lane.
func (b *broker) Knows(ctx context.Context, ids ...string) ([]bool, error) {
	out := make([]bool, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	live := make([]*redis.BoolCmd, len(ids))
	var seen *redis.FloatSliceCmd
	now, err := b.readAt(ctx, func(pipe redis.Pipeliner) func() error {
		for i, id := range ids {
			live[i] = pipe.HExists(ctx, b.keys.key(bodiesKey), id)
		}
		seen = pipe.ZMScore(ctx, b.keys.key(seenKey), ids...)
		return func() error { return nil }
	})
	if err != nil {
		return nil, b.wrap("knows", err)
	}
	for i, till := range seen.Val() {
		out[i] = live[i].Val() || int64(till) > now.UnixMicro()
	}
	return out, nil
}

// Stays implements adapters.Lane.
func (b *broker) Stays(ctx context.Context, ids ...string) ([]*adapters.Stay, error) {
	out := make([]*adapters.Stay, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	tasks, err := b.run(ctx, "stays", b.keys.lanes(), anys(ids)...).StringSlice()
	if err != nil {
		return nil, b.wrap("stays", err)
	}
	for i := range ids {
		state, body := tasks[2*i], tasks[2*i+1]
		if state == "" {
			continue
		}
		if out[i], err = decodeStay(state, body); err != nil {
			return nil, b.wrap("stays", err)
		}
	}
	return out, nil
}

func decodeStay(state, body string) (*adapters.Stay, error) {
	s, err := decodeState(state)
	if err != nil {
		return nil, err
	}
	_, rest, err := decodeArrived(body)
	if err != nil {
		return nil, err
	}
	m, err := decodeMessage(s, rest)
	if err != nil {
		return nil, err
	}
	r := &reader{s: state}
	_, _, _, _ = r.number(), r.number(), r.short(), r.byte()
	return &adapters.Stay{Message: m, Token: token(r.number(), us(m.State.Created))}, r.err
}

// token names a stay: the rank of its arrival is its own, and with when it was created also if the server has been emptied since.
func token(rank, created int64) string {
	return strconv.FormatInt(rank, 36) + "." + strconv.FormatInt(created, 36)
}

// splitToken takes a token apart; what is none gives zeros, which no stay has.
func splitToken(t string) (rank, created int64) {
	first, second, _ := strings.Cut(t, ".")
	rank, _ = strconv.ParseInt(first, 36, 64)
	created, _ = strconv.ParseInt(second, 36, 64)
	return rank, created
}

// Adopt implements adapters.Lane.
func (b *broker) Adopt(ctx context.Context, stays ...adapters.Stay) error {
	if err := b.mayWrite("adopt"); err != nil {
		return err
	}
	for len(stays) > 0 {
		lanes, args := b.keys.lanes(), []any{max(b.opts.Dedupe, time.Hour).Microseconds()}
		n, size := 0, 0
		for ; n < len(stays) && n < publishMax && size < publishBytes; n++ {
			m := &stays[n].Message
			rank, created := splitToken(stays[n].Over)
			args = append(args, adapters.StayID(stays[n].Token), rank, created, us(m.State.Created), m.State.Redeliveries, m.State.Replays)
			var err error
			if args, err = appendCall(args, lanes, m); err != nil {
				return b.wrap("adopt", err)
			}
			size += m.Envelope.Size()
		}
		if err := b.run(ctx, "adopt", lanes, args...).Err(); err != nil {
			return b.wrap("adopt", err)
		}
		stays = stays[n:]
	}
	return b.wrap("adopt", b.replicated(ctx))
}

// Await implements adapters.Lane. It looks, waits for the bell, and looks again.
func (b *broker) Await(ctx context.Context, wait time.Duration, queues ...string) (bool, error) {
	begun := time.Now()
	for rang := false; ; rang = true {
		there, next, err := b.promise(ctx, queues)
		if err != nil && rang {
			b.pass(queues)
		}
		if err != nil || there {
			return there, b.wrap("await", err)
		}
		left := wait - time.Since(begun)
		if left <= 0 {
			return false, nil
		}
		if err := b.rest(ctx, queues, min(left, next, bellPatience)); err != nil {
			return false, b.wrap("await", err)
		}
		if ctx.Err() != nil {
			b.pass(queues)
			return false, ctx.Err()
		}
	}
}

// rest waits for a ring of one of these queues, for d, or for ctx. Who goes away has itself woken by a key of its own.
func (b *broker) rest(ctx context.Context, queues []string, d time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	own := b.keys.key("waiter:" + stem.NewID())
	wait := make([]any, 0, len(queues)+3)
	wait = append(wait, "BZPOPMIN")
	for _, q := range queues {
		wait = append(wait, b.keys.bell(q))
	}
	wait = append(wait, own, strconv.FormatFloat(max(d, time.Millisecond).Seconds(), 'f', 6, 64))
	gone, leave := context.WithCancel(context.Background())
	defer leave()
	ended := make(chan error)
	started := b.start(func() {
		dismissed := make(chan struct{})
		wake := context.AfterFunc(gone, func() {
			defer close(dismissed)
			b.tell("ZADD", own, 0, "r") // where that fails it wakes by itself
		})
		bell, err := b.waiting.Do(context.Background(), wait...).Slice()
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		if !wake() {
			<-dismissed
			b.tell("ZREM", own, "r") // if the ring came after another
		}
		select {
		case ended <- err:
		case <-gone.Done():
			if len(bell) > 0 && bell[0] != own {
				b.tell("ZADD", bell[0], 0, "r") // it is for somebody else
			}
		}
	})
	if !started {
		return stem.ErrClosed
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-b.closing:
		return stem.ErrClosed
	}
}

// promise says whether a claim of queues may find something, else when it may.
func (b *broker) promise(ctx context.Context, queues []string) (there bool, next time.Duration, err error) {
	ready := make([]*redis.IntCmd, len(queues))
	var firsts []*redis.ZSliceCmd
	now, err := b.readAt(ctx, func(pipe redis.Pipeliner) func() error {
		for i, q := range queues {
			ready[i] = pipe.Exists(ctx, b.keys.ready(q))
			firsts = append(firsts, pipe.ZRangeWithScores(ctx, b.keys.delayed(q), 0, 0), pipe.ZRangeWithScores(ctx, b.keys.leased(q), 0, 0))
		}
		return func() error { return nil }
	})
	if err != nil {
		return false, 0, err
	}
	next = time.Hour
	for _, r := range ready {
		there = there || r.Val() > 0
	}
	for _, f := range firsts {
		for _, z := range f.Val() {
			left := at(int64(z.Score)).Sub(now)
			there, next = there || left <= 0, min(next, left)
		}
	}
	return there, next, nil
}

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
