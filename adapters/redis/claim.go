package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// claimMax is how many tasks one script claims.
const claimMax = 512

// Claim implements stem.Broker. Only the waiting takes real time: what is due is the store's clock.
func (b *broker) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	if c.Owner == "" {
		return nil, b.wrap("claim", adapters.ErrNoOwner)
	}
	if err := b.mayWrite("claim"); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.Max <= 0 || len(c.Queues) == 0 {
		return nil, nil
	}
	if !b.enter() {
		return nil, b.wrap("claim", stem.ErrClosed)
	}
	defer b.work.Done() // what the server claims is returned, or given back, though the store is being closed
	call, begun := b.claimCall(c), time.Now()
	var woken wakened
	var err error
	next, due, known := b.calm.take(call.lanes.names)
	since := begun // when next was known
	if known && c.Wait > 0 && !b.ownClock {
		woken, err = b.await(ctx, call, c.Wait, next)
	}
	for {
		if err != nil {
			return nil, b.wrap("claim", err)
		}
		if woken.item != "" {
			if due && next < bellPatience { // who waits next is to know of it
				b.besides(func() { b.pass(call.lanes.names) })
			}
			b.calm.note(call.lanes.names, min(afterSome, next-time.Since(since)), false) // however many are offered, it looks in time
			out, err := b.take(woken.item, call)
			return out, b.wrap("claim", err)
		}
		reply := woken.reply
		if reply == nil {
			if reply, err = b.run(context.WithoutCancel(ctx), "claim", call.lanes, call.args...).Slice(); err != nil {
				return nil, b.wrap("claim", err)
			}
		}
		var out []stem.Delivery
		since, due = time.Now(), true
		out, next, err = b.claimed(ctx, reply, c.Owner)
		left := c.Wait - time.Since(begun)
		if len(out) > 0 && len(out) < c.Max {
			b.calm.note(call.lanes.names, afterSome, false)
		}
		if len(out) > 0 || err != nil {
			return out, b.wrap("claim", err)
		}
		if left <= 0 {
			b.calm.note(call.lanes.names, next, true)
			return nil, nil
		}
		woken, err = b.await(ctx, call, left, next)
	}
}

// claimCall is the keys and arguments of a claim but for the time.
type claimCall struct {
	owner string
	lease time.Duration
	lanes *lanes
	args  []any
}

func (b *broker) claimCall(c stem.Claim) *claimCall {
	lanes := b.keys.lanes()
	limits := map[string]int{}
	for _, q := range c.Queues {
		if lanes.number(q.Queue); q.Limit > limits[q.Queue] {
			limits[q.Queue] = q.Limit
		}
	}
	lease := adapters.LeaseLength(c.Lease)
	args := []any{c.Owner, lease.Microseconds(), min(c.Max, claimMax)}
	for _, q := range lanes.names {
		args = append(args, limits[q])
	}
	return &claimCall{c.Owner, lease, lanes, args}
}

// claimed reads what lua/claim.lua returns; when it claimed nothing, next is when there may be something.
func (d *db) claimed(ctx context.Context, reply []any, owner string) (out []stem.Delivery, next time.Duration, err error) {
	wait, lost := reply[0].(int64), reply[1].(int64)
	d.reckonBy(reply[2].(int64))
	next = time.Hour
	if wait >= 0 {
		next = time.Duration(wait) * time.Microsecond
	}
	var leaves []leaf
	for _, v := range reply[claimHead:] {
		if v, ok := v.([]any); ok {
			leaves = append(leaves, d.leafOf(v))
		}
	}
	var pages map[sheet]string
	if len(leaves) > 0 {
		// What is claimed is delivered, though who claimed goes away.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		if pages, err = d.read(ctx, leaves); err != nil {
			return nil, 0, err
		}
		torn, err := d.torn(ctx, leaves, pages)
		if err != nil {
			return nil, 0, err
		}
		lost += torn
	}
	out, err = decodeClaimed(reply, owner, leaves, pages)
	if err == nil && lost > 0 && len(out) == 0 {
		err = fmt.Errorf("%w: %d tasks had lost their message: does the server evict keys (maxmemory-policy)?", stem.ErrCorrupt, lost)
	}
	return out, next, err
}

// claimHead is how many values the claim script returns before the first task.
const claimHead = 5

// decodeClaimed reads the tasks that lua/claim.lua returns, of which some are leaves of pages.
func decodeClaimed(reply []any, owner string, leaves []leaf, pages map[sheet]string) ([]stem.Delivery, error) {
	now, epoch, till := reply[2].(int64), reply[3].(int64), reply[4].(int64)
	out := make([]stem.Delivery, 0, len(reply)-claimHead)
	var places positions
	for i := claimHead; i < len(reply); {
		d := stem.Delivery{LeasedUntil: at(till), Receipt: stem.Receipt{Owner: owner, Epoch: stem.Epoch(epoch)}}
		var s state
		var rest string
		var err error
		updated := now
		switch value := reply[i].(type) {
		case []any:
			if page, ok := pages[leaves[0].sheet]; ok {
				if out, err = leaves[0].deliveries(out, page, d, now); err != nil {
					return nil, err
				}
			}
			leaves = leaves[1:]
			i++
			continue
		case string:
			s, rest, err = decodeArrived(value)
			s.Epoch = stem.Epoch(epoch)
			i++
		default:
			d.LeasedUntil, d.Receipt.Epoch, updated = at(reply[i].(int64)), stem.Epoch(reply[i+1].(int64)), 0
			if s, err = decodeState(reply[i+2].(string)); err == nil {
				_, rest, err = decodeArrived(reply[i+3].(string))
			}
			i += 4
		}
		if err == nil {
			d.Message, err = decodeMessage(s, rest)
		}
		if err != nil {
			return nil, err
		}
		d.Receipt.ID, d.Receipt.Queue, d.Receipt.Position = d.ID, d.Queue, places.of(updated, d.Name)
		out = append(out, d)
	}
	return out, nil
}

// Extend implements stem.Broker.
func (b *broker) Extend(ctx context.Context, leases ...stem.Lease) ([]stem.Receipt, error) {
	if err := b.mayWrite("extend"); err != nil {
		return nil, err
	}
	if err := b.booked(ctx); err != nil {
		return nil, b.wrap("extend", err)
	}
	var lost []stem.Receipt
	for part := range slices.Chunk(leases, settleMax) {
		lanes := b.keys.lanes()
		var args []any
		for _, l := range part {
			head := number(number(nil, int64(l.Receipt.Epoch)), adapters.LeaseLength(l.For).Microseconds())
			args = append(args, short(head, lanes.number(l.Receipt.Queue)), l.Receipt.ID, l.Receipt.Owner)
		}
		held, err := b.run(ctx, "extend", lanes, args...).Int64Slice()
		if err != nil {
			return lost, b.wrap("extend", err)
		}
		for i, ok := range held {
			if ok == 0 {
				lost = append(lost, part[i].Receipt)
			}
		}
	}
	return lost, nil
}

// releaseSlice is how many claims one script looks at.
const releaseSlice = 500

// ReleaseOwner implements stem.Takeover.
func (b *broker) ReleaseOwner(ctx context.Context, owner string) (int, error) {
	if err := b.mayWrite("release owner"); err != nil {
		return 0, err
	}
	if err := b.booked(ctx); err != nil {
		return 0, b.wrap("release owner", err)
	}
	queues, err := b.client.SMembers(ctx, b.keys.key(queuesKey)).Result()
	if err != nil {
		return 0, b.wrap("release owner", err)
	}
	total := 0
	for _, q := range queues {
		held := map[string]int64{}
		if err := b.held(ctx, q, held); err != nil {
			return total, b.wrap("release owner", err)
		}
		for part := range slices.Chunk(slices.Collect(maps.Keys(held)), releaseSlice) {
			n, err := b.run(ctx, "release", b.keys.lanes(q), append([]any{owner}, anys(part)...)...).Int()
			if err != nil {
				return total, b.wrap("release owner", err)
			}
			total += n
		}
	}
	return total, nil
}

func anys[T any](in []T) []any {
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v
	}
	return out
}
