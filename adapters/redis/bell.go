package redis

import (
	"cmp"
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

// await waits for a ring of one of a claim's queues, for d, or for ctx, and claims in the same round trip: the server runs the script once
// the wait is over. A ring wakes one who waits; whoever finds more than it takes rings again. reply is nil when the script is to be run
// by itself: the store has a clock of its own, which went on meanwhile, or the server does not know the script.
//
// Who waits does so himself: to be woken by another goroutine would cost an idle process a twentieth of the time from enqueue to start. Who
// goes away has the server end the wait, by a key of its own, and what it still claims is given back. So it hears the server out: one that
// is silent holds it until the read times out, as any other call. A read that was torn off would leave the claim behind it to be carried
// out for nobody.
func (b *broker) await(ctx context.Context, call *claimCall, d time.Duration) (reply []any, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if !b.enter() {
		return nil, stem.ErrClosed
	}
	gone, leave := context.WithCancel(ctx)
	defer leave()
	defer context.AfterFunc(b.life, leave)()
	own, stays, woken := b.wakeOn(gone)
	answer, err := b.ring(gone, call, own, d)
	if stays() {
		b.work.Done()
		return answer, err
	}
	go func() {
		defer b.work.Done()
		b.giveBack(answer, call)
		<-woken
		for isTimeout(b.tell("ZREM", own, "r")) { // if the ring came after another, or comes yet, out of a long silence
			select {
			case <-b.life.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}()
	return nil, cmp.Or(ctx.Err(), stem.ErrClosed)
}

// wakeOn gives a key for a wait, which is rung when ctx ends. stays ends that, and says whether it was not rung; if it was, woken is closed
// once the server has it.
func (b *broker) wakeOn(ctx context.Context) (own string, stays func() bool, woken <-chan struct{}) {
	own = b.keys.key("waiter:" + stem.NewID())
	told := make(chan struct{})
	return own, context.AfterFunc(ctx, func() {
		defer close(told)
		_ = b.tell("ZADD", own, 0, "r") // where that fails it wakes by itself
	}), told
}

// bells is the command that waits for a ring of queues, or of own.
func (b *broker) bells(queues []string, own string, d time.Duration) []any {
	wait := make([]any, 0, len(queues)+3)
	wait = append(wait, "BZPOPMIN")
	for _, q := range queues {
		wait = append(wait, b.keys.bell(q))
	}
	return append(wait, own, strconv.FormatFloat(max(d, time.Millisecond).Seconds(), 'f', 6, 64))
}

// ring waits until a bell, or own, is rung and claims. When ctx ends it goes on, but is not tried again.
func (b *broker) ring(ctx context.Context, call *claimCall, own string, d time.Duration) (reply []any, err error) {
	s := b.scripts["claim"]
	pipe := b.waiting.Pipeline()
	bell := pipe.Do(ctx, b.bells(call.lanes.names, own, d)...)
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
		return nil, failed
	}
	reply, err = claim.Slice()
	if failed != nil && len(reply) <= claimHead { // what was claimed all the same is not thrown away: the next wait fails too
		return nil, failed
	}
	return reply, err
}

// giveBack releases what was claimed for a waiter that is gone. Where that fails the leases expire.
func (b *broker) giveBack(reply []any, call *claimCall) {
	if reply == nil {
		b.pass(call.lanes.names)
		return
	}
	out, next, err := b.claimed(context.Background(), reply, call.owner)
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
func (b *broker) tell(command ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return b.client.Do(ctx, command...).Err()
}
