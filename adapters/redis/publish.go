package redis

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

const (
	// publishMax is how many messages one script accepts.
	publishMax = 128
	// publishBytes is the size of messages, in bytes, after which a script takes no more.
	publishBytes = 1 << 20
	// publishAhead is how many scripts go to the server before its first answer is awaited.
	publishAhead = 8
)

// broker is the Broker of a db.
type broker struct{ *db }

var (
	_ stem.Broker     = (*broker)(nil)
	_ stem.Inspector  = (*broker)(nil)
	_ stem.Maintainer = (*broker)(nil)
	_ stem.Takeover   = (*broker)(nil)
)

// published is the outcome of a message that was published together with others.
type published struct {
	stem.Published
	err error // the call's
}

// Publish implements stem.Broker. Messages that are published one by one at the same time go together.
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
	if len(valid) == 1 {
		p, err := b.singles.Do(ctx, msgs[valid[0]])
		if err == nil {
			err = p.err
		}
		out[valid[0]] = p.Published
		return out, b.wrap("publish", err)
	}
	if err := b.publish(ctx, msgs, valid, out); err != nil {
		return nil, b.wrap("publish", err)
	}
	return out, nil
}

// publishSingles publishes what came from several callers. None of them can cancel it for the others.
func (d *db) publishSingles(msgs []stem.Message) ([]published, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	all := make([]int, len(msgs))
	states := make([]stem.Published, len(msgs))
	for i := range msgs {
		all[i], states[i].ID = i, msgs[i].ID
	}
	err := d.publish(ctx, msgs, all, states)
	out := make([]published, len(msgs))
	for i := range out {
		out[i] = published{states[i], err}
	}
	return out, nil
}

// call is one script with the messages it publishes.
type call struct {
	keys []string
	args []any
	msgs []int
	cmd  *redis.Cmd
}

// publish publishes the messages at these indexes, in this order, and waits for the replicas that must have them.
func (d *db) publish(ctx context.Context, msgs []stem.Message, at []int, out []stem.Published) error {
	if err := d.accept(ctx, msgs, at, out); err != nil {
		return err
	}
	return d.replicated(ctx)
}

func (d *db) accept(ctx context.Context, msgs []stem.Message, at []int, out []stem.Published) error {
	for len(at) > 0 {
		var calls []*call
		for len(at) > 0 && len(calls) < publishAhead {
			c, n, err := d.publishCall(msgs, at)
			if err != nil {
				return err
			}
			calls, at = append(calls, c), at[n:]
		}
		if err := d.runAll(ctx, "publish", calls); err != nil {
			return err
		}
		for _, c := range calls {
			stand, err := c.cmd.StringSlice()
			if err != nil {
				return err
			}
			if len(stand) != len(c.msgs) {
				return fmt.Errorf("%d answers for %d messages", len(stand), len(c.msgs))
			}
			for i, n := range c.msgs {
				if stand[i] != "" {
					out[n].State, out[n].ID = stem.Duplicate, stand[i]
				}
			}
		}
	}
	return nil
}

// publishCall puts as many of these messages as fit into one call.
func (d *db) publishCall(msgs []stem.Message, at []int) (*call, int, error) {
	lanes := d.keys.lanes()
	c := &call{args: make([]any, 0, 1+2*min(len(at), publishMax))}
	c.args = append(c.args, d.clock())
	n, size := 0, 0
	for n < len(at) && n < publishMax && size < publishBytes {
		m := &msgs[at[n]]
		given, err := encodeMessage(m, lanes.number(m.Queue))
		if err != nil {
			return nil, 0, err
		}
		c.args = append(c.args, m.ID, given)
		size += len(given)
		n++
	}
	c.msgs, c.keys = at[:n], lanes.all()
	return c, n, nil
}

// runAll runs a script several times in one round trip, in order.
func (d *db) runAll(ctx context.Context, name string, calls []*call) error {
	script := d.scripts[name]
	if len(calls) > 1 {
		pipe := d.client.Pipeline()
		for _, c := range calls {
			c.cmd = script.EvalSha(ctx, pipe, c.keys, c.args...)
		}
		_, err := pipe.Exec(ctx)
		if err != nil && !redis.HasErrorPrefix(err, "NOSCRIPT") {
			return err
		}
	}
	for _, c := range calls {
		if c.cmd == nil || redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") {
			c.cmd = script.Run(ctx, d.client, c.keys, c.args...)
		}
		if err := c.cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}
