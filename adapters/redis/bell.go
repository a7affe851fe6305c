package redis

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

// bellPatience is how long a claim waits for the bell before it looks by itself, should a ring be lost. Who waits knows when something becomes
// due within that time: see lua/ahead.lua.
const bellPatience = 3 * time.Second

// wakened is what a wait ended with: what was offered, which was claimed by that, or the bell that rang, and what the claim behind the wait
// returned, if it was carried out.
type wakened struct {
	item, bell string
	reply      []any
}

// await waits for a ring of one of a claim's queues, for an offer in one, for what becomes due next, for d, or for ctx. Where rings are what is
// to be expected it claims behind one in the same round trip. Where it returns nothing the script is to be run by itself: it was not sent along, or the
// server does not know it. A ring wakes one who waits; whoever finds more than it takes rings again.
//
// Who waits does so himself: to be woken by another goroutine would cost an idle process a twentieth of the time from enqueue to start. Who
// goes away has the server end the wait, by a key of its own, and what it still claims is given back. So it hears the server out: one that
// is silent holds it until the read times out, as any other call. A read that was torn off would leave the claim behind it to be carried
// out for nobody.
func (b *broker) await(ctx context.Context, call *claimCall, d, next time.Duration) (wakened, error) {
	gone, leave := context.WithCancel(ctx)
	defer leave()
	defer context.AfterFunc(b.life, leave)()
	own, stays, woken := b.wakeOn(gone)
	w, err := b.wait(gone, call, own, min(d, next, bellPatience))
	if stays() {
		return w, err
	}
	b.besides(func() {
		b.giveBack(w, call, next)
		<-woken
		for isTimeout(b.tell("ZREM", own, "r")) { // if the ring came after another, or comes yet, out of a long silence
			select {
			case <-b.life.Done():
				return
			case <-time.After(time.Second):
			}
		}
	})
	return wakened{}, cmp.Or(ctx.Err(), stem.ErrClosed)
}

// wakeOn gives a key for a wait, which is rung when ctx ends. stays ends that, and says whether it was not rung; if it was, woken is closed
// once the server has it.
func (b *broker) wakeOn(ctx context.Context) (own string, stays func() bool, woken <-chan struct{}) {
	own = b.keys.key("waiter:" + stem.NewID())
	told := make(chan struct{})
	return own, context.AfterFunc(ctx, func() {
		defer close(told)
		_ = b.tell("ZADD", own, 0, "r") // where that fails it wakes by itself
		_ = b.tell("EXPIRE", own, 60)   // this process may die before it takes it away
	}), told
}

// bells is the command that waits for a ring or an offer of queues, or for own.
func (b *broker) bells(queues []string, own string, d time.Duration, offers bool) []any {
	wait := make([]any, 0, 2*len(queues)+3)
	wait = append(wait, "BZPOPMIN")
	for _, q := range queues {
		wait = append(wait, b.keys.bell(q))
		if offers {
			wait = append(wait, b.keys.offers(q))
		}
	}
	return append(wait, own, strconv.FormatFloat(max(d, time.Millisecond).Seconds(), 'f', 6, 64))
}

// wait waits until a bell, or own, is rung, or something is offered. When ctx ends it goes on, but is not tried again.
//
// The claim is sent along unless an offer is what ended the last wait, as most likely the next one ends as that did: behind an offer it would only
// hold up the answer, and what it claims is given back.
func (b *broker) wait(ctx context.Context, call *claimCall, own string, d time.Duration) (w wakened, err error) {
	pipe := b.waiting.Pipeline()
	bell := pipe.Do(ctx, b.bells(call.lanes.names, own, d, b.offers)...)
	var claim *redis.Cmd
	if !b.ownClock && !b.offered.Load() { // a clock of the store's own went on meanwhile
		s := b.scripts["claim"]
		claim = s.EvalSha(ctx, pipe, call.lanes.of(s), append([]any{""}, call.args...)...)
	}
	execute(ctx, pipe)
	failed := bell.Err()
	if errors.Is(failed, redis.Nil) {
		failed = nil
	} else if rung, err := bell.Slice(); err == nil {
		switch key := rung[0].(string); {
		case strings.HasSuffix(key, offersSuffix):
			w.item = rung[1].(string)
			b.offered.Store(true)
		case key != own:
			w.bell = key
			b.offered.Store(false)
		}
	}
	if claim != nil && !redis.HasErrorPrefix(claim.Err(), "NOSCRIPT") {
		w.reply, err = claim.Slice()
	}
	if w.item != "" {
		if reply := w.reply; reply != nil {
			b.besides(func() { b.giveBack(wakened{reply: reply}, call, bellPatience) })
		}
		return wakened{item: w.item}, nil
	}
	if failed != nil && len(w.reply) <= claimHead { // what was claimed all the same is not thrown away: the next wait fails too
		return w, failed
	}
	return w, err
}

// giveBack releases what was claimed for a waiter that is gone. Where that fails the leases expire.
func (b *broker) giveBack(w wakened, call *claimCall, next time.Duration) {
	var out []stem.Delivery
	var err error
	if w.item != "" {
		out, err = b.take(w.item, call)
	} else if w.reply != nil {
		out, next, err = b.claimed(context.Background(), w.reply, call.owner)
	}
	if err != nil || len(out) == 0 {
		switch {
		case next < bellPatience: // the next who waits is to know of it
			b.pass(call.lanes.names)
		case w.bell != "" && w.reply == nil:
			_ = b.tell("ZADD", w.bell, 0, "r")
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
	for b.booked(context.Background()) != nil { // it would be booked by and by, for nobody
		select {
		case <-b.life.Done():
			return
		case <-time.After(bookAgain):
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
