package redis

import (
	"context"
	"slices"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

const (
	// publishMax is how many messages one script accepts.
	publishMax = 128
	// bulkMax is how many it accepts in pages.
	bulkMax = 512
	// publishBytes is the size of messages, in bytes, after which a script takes no more.
	publishBytes = 1 << 20
	// publishAhead is how many scripts go to the server before its first answer is awaited.
	publishAhead = 4
)

// broker is the Broker of a db.
type broker struct{ *db }

var (
	_ stem.Broker     = (*broker)(nil)
	_ stem.Inspector  = (*broker)(nil)
	_ stem.Maintainer = (*broker)(nil)
	_ stem.Takeover   = (*broker)(nil)
)

// Publish implements stem.Broker.
func (b *broker) Publish(ctx context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	if err := b.mayWrite("publish"); err != nil {
		return nil, err
	}
	out := make([]stem.Published, len(msgs))
	var valid []int
	for i := range msgs {
		out[i].ID = msgs[i].ID
		if err := adapters.CheckMessage(msgs[i]); err != nil {
			out[i].State, out[i].Err = stem.Rejected, err
			continue
		}
		valid = append(valid, i)
	}
	if err := b.publish(ctx, msgs, valid, out); err != nil {
		return nil, b.wrap("publish", err)
	}
	return out, nil
}

// publish publishes the messages at these indexes, in this order, and waits for the replicas that must have them.
func (d *db) publish(ctx context.Context, msgs []stem.Message, at []int, out []stem.Published) error {
	if d.fitBox(msgs, at) {
		if err := d.box(ctx, msgs, at); err != nil {
			return err
		}
		return d.replicated(ctx)
	}
	if ids := copied(msgs, at); len(ids) > 0 {
		if err := d.sortFor(ctx, ids...); err != nil {
			return err
		}
	}
	if len(at) == 1 && d.pageMin > 1 && plain(&msgs[at[0]]) {
		done, err := d.publishOne(ctx, &msgs[at[0]])
		if err != nil {
			return err
		}
		if done {
			return d.replicated(ctx)
		}
	}
	for len(at) > 0 {
		var calls []*call
		groups := 0
		for ; len(at) > 0 && len(calls) < publishAhead; groups++ {
			more, n, err := d.publishCalls(msgs, at)
			if err != nil {
				return err
			}
			calls, at = append(calls, more...), at[n:]
		}
		if groups > 1 { // the calls of one are of different places or of one script
			inOrder(calls)
		}
		if err := d.accept(ctx, calls, out); err != nil {
			return err
		}
	}
	return d.replicated(ctx)
}

// accept runs calls and notes what the server answers: of each message that it did not publish its number and the id that stands for it.
func (d *db) accept(ctx context.Context, calls []*call, out []stem.Published) error {
	if err := d.runAll(ctx, calls); err != nil {
		return err
	}
	for _, c := range calls {
		known, err := c.cmd.Slice()
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(known); i += 2 {
			p := &out[c.msgs[known[i].(int64)-1]]
			p.State, p.ID = stem.Duplicate, known[i+1].(string)
		}
	}
	return nil
}

// publishCalls puts as many of these messages as fit into few calls, and says how many: new ones that are ready at once, as most are,
// into pages and the cheap script.
func (d *db) publishCalls(msgs []stem.Message, at []int) (calls []*call, n int, err error) {
	n = fit(msgs, at, bulkMax, plain)
	if n < min(d.pageMin, len(at)) || !distinct(msgs, at[:n]) {
		n = fit(msgs, at, publishMax, func(*stem.Message) bool { return true })
		c, err := d.arriveCall(msgs, at[:n])
		return []*call{c}, n, err
	}
	pages, rest := d.paginate(msgs, at[:n])
	if len(pages) > 0 {
		c, err := d.bulkCall(msgs, pages)
		if err != nil {
			return nil, 0, err
		}
		calls = append(calls, c)
	}
	for part := range slices.Chunk(rest, publishMax) {
		c, err := d.enqueueCall(msgs, part)
		if err != nil {
			return nil, 0, err
		}
		calls = append(calls, c)
	}
	return calls, n, nil
}

// fit is how many of these messages, of which most and no more than so many bytes fit, are first of all such ones.
func fit(msgs []stem.Message, at []int, most int, is func(*stem.Message) bool) (n int) {
	for size := 0; n < len(at) && n < most && size < publishBytes && is(&msgs[at[n]]); n++ {
		size += sizeOf(&msgs[at[n]])
	}
	return n
}

// distinct says whether no two of these messages have one id.
func distinct(msgs []stem.Message, at []int) bool {
	rising := true
	for i := 1; i < len(at); i++ {
		rising = rising && msgs[at[i-1]].ID < msgs[at[i]].ID
	}
	if rising { // as those are that a client made one after the other
		return true
	}
	ids := make(map[string]struct{}, len(at))
	for _, n := range at {
		ids[msgs[n].ID] = struct{}{}
	}
	return len(ids) == len(at)
}

// enqueueCall makes a call of lua/enqueue.lua.
func (d *db) enqueueCall(msgs []stem.Message, at []int) (*call, error) {
	c := &call{script: "enqueue", lanes: d.keys.lanes(), msgs: at, args: make([]any, 2, 2+2*len(at)+2)}
	values, runs := make([]any, 0, len(at)), make([]any, 0, 2)
	begin := 0
	run := func(end int) {
		m := &msgs[at[begin]]
		head := append(short(nil, c.lanes.number(m.Queue)), byte(stem.MaxPriority-m.Priority))
		runs = append(runs, short(head, end-begin), m.Queue)
		begin = end
	}
	for i, n := range at {
		m := &msgs[n]
		given, err := encodeMessage(m, c.lanes.number(m.Queue))
		if err != nil {
			return nil, err
		}
		if first := &msgs[at[begin]]; first.Queue != m.Queue || first.Priority != m.Priority {
			run(i)
		}
		c.args, values = append(c.args, m.ID), append(values, given)
	}
	run(len(at))
	c.args[0], c.args[1] = d.clock(), len(at)
	c.args = append(append(c.args, values...), runs...)
	return c, nil
}

// arriveCall makes a call of lua/publish.lua.
func (d *db) arriveCall(msgs []stem.Message, at []int) (*call, error) {
	c := &call{script: "publish", lanes: d.keys.lanes(), msgs: at, args: append(make([]any, 0, 1+2*len(at)), d.clock())}
	for _, n := range at {
		m := &msgs[n]
		given, err := encodeMessage(m, c.lanes.number(m.Queue))
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, m.ID, given)
	}
	return c, nil
}
