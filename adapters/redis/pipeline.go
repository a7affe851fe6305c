package redis

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"
)

// call is a script on its way. The time is the first of its arguments.
type call struct {
	script string
	lanes  *lanes
	key    string // instead of lanes: the only one that it uses
	args   []any
	msgs   []int // places in the batch that it serves
	db     *db   // set by scatter
	whole  bool  // it goes with the source of the script
	cmd    *redis.Cmd
}

// callOf is a call of a script that touches no queue.
func (d *db) callOf(args ...any) *call {
	return &call{lanes: d.keys.lanes(), args: append([]any{d.clock()}, args...)}
}

// keys are KEYS of the script.
func (c *call) keys(s *script) []string {
	if c.key != "" {
		return []string{c.key}
	}
	return c.lanes.of(s)
}

// eval runs a script. A server that does not know it, perhaps since a restart, is given it.
func (d *db) eval(ctx context.Context, s *script, keys []string, args ...any) *redis.Cmd {
	server, free := d.quickest()
	defer free()
	return s.Run(ctx, server, keys, args...)
}

// run runs a script, whose first argument is the time.
func (d *db) run(ctx context.Context, name string, l *lanes, args ...any) *redis.Cmd {
	s, all := d.scripts[name], make([]any, 0, len(args)+1)
	return d.eval(ctx, s, l.of(s), append(append(all, d.clock()), args...)...)
}

// runAll runs calls in one round trip to each node, and fails with the first that does.
func (d *db) runAll(ctx context.Context, calls []*call) error {
	if len(calls) == 1 {
		c := calls[0]
		s := d.scripts[c.script]
		c.cmd = d.eval(ctx, s, c.keys(s), c.args...)
	} else {
		d.runApart(ctx, calls)
	}
	for _, c := range calls {
		if err := c.cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}

// runApart runs calls in one round trip to each node; each answers for itself. A node that does not know a script is given it.
func (c *conn) runApart(ctx context.Context, calls []*call) {
	c.send(ctx, calls)
	var rest []*call
	for _, one := range calls {
		if one.whole = redis.HasErrorPrefix(one.cmd.Err(), "NOSCRIPT"); one.whole {
			rest = append(rest, one)
		}
	}
	c.send(ctx, rest)
}

func (c *conn) send(ctx context.Context, calls []*call) {
	pipe := c.client.Pipeline()
	for _, one := range calls {
		s := c.scripts[one.script]
		run := s.EvalSha
		if one.whole {
			run = s.Eval
		}
		one.cmd = run(ctx, pipe, one.keys(s), one.args...)
	}
	execute(ctx, pipe)
}

// execute sends commands; each has its own error then. Where a server refuses the connection itself, as with a wrong password, go-redis tells
// none of them, and they would look as if they had been answered with nothing.
func execute(ctx context.Context, pipe redis.Pipeliner) {
	cmds, err := pipe.Exec(ctx)
	if err == nil || slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Err() != nil }) {
		return
	}
	for _, c := range cmds {
		c.SetErr(err)
	}
}

// inOrder sees to it that a node runs calls in their order: one that knows only some of their scripts, as may be after a restart, would run
// these first.
func inOrder(calls []*call) {
	known := map[string]bool{}
	for _, c := range calls {
		c.whole, known[c.script] = !known[c.script], true
	}
}
