package redis

import (
	"context"
	"slices"
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
	if err := b.sortFor(ctx, ids...); err != nil {
		return nil, b.wrap("knows", err)
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
	if err := b.sortFor(ctx, ids...); err != nil {
		return nil, b.wrap("stays", err)
	}
	out := make([]*adapters.Stay, 0, len(ids))
	for len(out) < len(ids) {
		tasks, err := b.run(ctx, "stays", b.keys.lanes(), anys(ids[len(out):])...).StringSlice()
		if err != nil {
			return nil, b.wrap("stays", err)
		}
		for i := 0; i+1 < len(tasks); i += 2 {
			var stay *adapters.Stay
			if tasks[i] != "" {
				if stay, err = decodeStay(tasks[i], tasks[i+1]); err != nil {
					return nil, b.wrap("stays", err)
				}
			}
			out = append(out, stay)
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
	return &adapters.Stay{Message: m, Token: token(s.rank, us(m.State.Created))}, nil
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
		lanes, args := b.keys.lanes(), []any{adapters.StayFor.Microseconds()}
		n, size := 0, 0
		for ; n < len(stays) && n < publishMax && size < publishBytes; n++ {
			m := &stays[n].Message
			args = append(args, adapters.StayID(stays[n].Token), us(m.State.Created), m.State.Redeliveries, m.State.Replays)
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

// Leave implements adapters.Lane.
func (b *broker) Leave(ctx context.Context, stays ...adapters.Stay) error {
	if err := b.mayWrite("leave"); err != nil {
		return err
	}
	for part := range slices.Chunk(stays, settleMax) {
		lanes, args := b.keys.lanes(), []any{b.opts.Dedupe.Microseconds()}
		for _, s := range part {
			rank, created := splitToken(s.Token)
			args = append(args, s.Message.ID, s.Message.Queue, lanes.number(s.Message.Queue), rank, created)
		}
		if err := b.run(ctx, "leave", lanes, args...).Err(); err != nil {
			return b.wrap("leave", err)
		}
	}
	return nil
}

// Forget implements adapters.Lane.
func (b *broker) Forget(ctx context.Context, tokens ...string) error {
	if err := b.mayWrite("forget"); err != nil {
		return err
	}
	if len(tokens) == 0 {
		return nil
	}
	now, err := b.now(ctx)
	if err != nil {
		return b.wrap("forget", err)
	}
	members := make([]redis.Z, len(tokens))
	for i, t := range tokens {
		members[i] = redis.Z{Member: adapters.StayID(t), Score: float64(now.Add(adapters.StayAfter(b.opts)).UnixMicro())}
	}
	return b.wrap("forget", b.client.ZAddXX(ctx, b.keys.key(seenKey), members...).Err())
}

// Outdate implements adapters.Lane.
func (b *broker) Outdate(ctx context.Context, ids []string, epochs []stem.Epoch) error {
	if err := b.mayWrite("outdate"); err != nil {
		return err
	}
	found, err := b.lettersOf(ctx, ids)
	if err != nil {
		return b.wrap("outdate", err)
	}
	var old []any
	for _, l := range found {
		if l.Message.State.Epoch < epochs[slices.Index(ids, l.Message.ID)] {
			old = append(old, l.Message.ID, l.serial)
		}
	}
	if len(old) == 0 {
		return nil
	}
	return b.wrap("outdate", b.run(ctx, "purgedead", b.keys.lanes(), old...).Err())
}

// Look implements adapters.Lane.
func (b *broker) Look(ctx context.Context, queues ...string) (adapters.Outlook, error) {
	out := b.rings.Look(ctx, false, []adapters.Ask{{Lane: b, Queues: queues}})[0]
	return out, b.wrap("look", out.Err)
}

// Await implements adapters.Lane.
func (b *broker) Await(ctx context.Context, wait time.Duration, queues ...string) (bool, error) {
	return b.rings.Await(ctx, wait, []adapters.Ask{{Lane: b, Queues: queues}})
}
