package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

// bellPatience is how long a claim waits for the bell before it looks by itself, should a ring be lost. Who waits knows when something becomes
// due within that time: see lua/ahead.lua.
const bellPatience = 3 * time.Second

// rung is how a wait ended: what the claim script returned, nil if it did not run, or why the wait failed.
type rung struct {
	reply []any
	err   error
}

// await waits for a ring of one of a claim's queues, for d, or for ctx, and claims in the same round trip: the server runs the script once
// the wait is over. A ring wakes one who waits; whoever finds more than it takes rings again. reply is nil when the script is to be run
// by itself: the store has a clock of its own, which went on meanwhile, or the server does not know the script.
//
// Who goes away has itself woken by a key of its own, and what it still claims is given back.
func (b *broker) await(ctx context.Context, call *claimCall, d time.Duration) (reply []any, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	gone, leave := context.WithCancel(context.Background())
	defer leave()
	ended := make(chan rung)
	started := b.start(func() {
		own := b.keys.key("waiter:" + stem.NewID())
		dismissed := make(chan struct{})
		wake := context.AfterFunc(gone, func() {
			defer close(dismissed)
			b.tell("ZADD", own, 0, "r") // where that fails it wakes by itself
		})
		r := b.ring(call, own, d)
		if !wake() {
			<-dismissed
			b.tell("ZREM", own, "r") // if the ring came after another
		}
		select {
		case ended <- r:
		case <-gone.Done():
			b.giveBack(r, call)
		}
	})
	if !started {
		return nil, stem.ErrClosed
	}
	select {
	case r := <-ended:
		return r.reply, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.closing:
		return nil, stem.ErrClosed
	}
}

// ring waits until a bell, or own, is rung and claims.
func (b *broker) ring(call *claimCall, own string, d time.Duration) rung {
	ctx, s := context.Background(), b.scripts["claim"]
	wait := make([]any, 0, len(call.lanes.names)+3)
	wait = append(wait, "BZPOPMIN")
	for _, q := range call.lanes.names {
		wait = append(wait, b.keys.bell(q))
	}
	wait = append(wait, own, strconv.FormatFloat(max(d, time.Millisecond).Seconds(), 'f', 6, 64))
	pipe := b.waiting.Pipeline()
	bell := pipe.Do(ctx, wait...)
	var claim *redis.Cmd
	if !b.ownClock {
		claim = s.EvalSha(ctx, pipe, call.lanes.of(s), append([]any{""}, call.args...)...)
	}
	execute(ctx, pipe)
	failed := bell.Err()
	if errors.Is(failed, redis.Nil) {
		failed = nil
	}
	if claim == nil || redis.HasErrorPrefix(claim.Err(), "NOSCRIPT") {
		return rung{err: failed}
	}
	reply, err := claim.Slice()
	if failed != nil && len(reply) <= claimHead { // what was claimed all the same is not thrown away: the next wait fails too
		return rung{err: failed}
	}
	return rung{reply, err}
}

// giveBack releases what was claimed for a waiter that is gone. Where that fails the leases expire.
func (b *broker) giveBack(r rung, call *claimCall) {
	if r.reply == nil {
		b.pass(call.lanes.names)
		return
	}
	out, next, err := b.claimed(context.Background(), r.reply, call.owner)
	if err != nil || len(out) == 0 {
		if next < bellPatience { // the next who waits is to know of it
			b.pass(call.lanes.names)
		}
		return
	}
	wishes := make([]*wish, len(out))
	for i, d := range out {
		wishes[i] = &wish{Settlement: stem.Settlement{Receipt: d.Receipt, Kind: stem.Release}}
		if d.State.AckedEarly {
			wishes[i].Kind = stem.AckEarly // it can not be given back
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_ = b.settle(ctx, wishes)
}

// tell sends a command whose failure costs no more than time.
func (b *broker) tell(command ...any) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_ = b.client.Do(ctx, command...).Err()
}
