package redis

import (
	"cmp"
	"context"
	"slices"

	"github.com/stemd/stem"
)

// doneMax is how many settlements one script does when they are plain.
const doneMax = 256

// finish settles what is done with a task that was claimed once and leaves nothing but perhaps a first result, which is most of all tasks,
// and returns the other settlements. Those of one task stay in their order.
func (d *db) finish(ctx context.Context, wishes []wish) (rest []*wish, err error) {
	plain := map[string][]*wish{}
	seen := make(map[string]struct{}, len(wishes))
	for i := range wishes {
		w := &wishes[i]
		_, again := seen[w.Receipt.ID]
		seen[w.Receipt.ID] = struct{}{}
		script := ""
		if !again {
			script = w.plain()
		}
		if script == "" {
			rest = append(rest, w)
		} else {
			plain[script] = append(plain[script], w)
		}
	}
	for script, wishes := range plain {
		for len(wishes) > 0 {
			c, part, err := d.doneCall(script, wishes)
			if err != nil {
				return nil, err
			}
			wishes = wishes[len(part):]
			undone, err := d.run(ctx, script, c.lanes, c.args...).Int64Slice()
			if err != nil {
				return nil, err
			}
			more := make([]*wish, 0, len(undone)+len(rest))
			for _, n := range undone {
				more = append(more, part[n-1])
			}
			rest = append(more, rest...)
		}
	}
	return rest, nil
}

// plain is the script that may do it, or empty.
func (w *wish) plain() string {
	w.place = splitPosition(w.Receipt.Position)
	switch {
	case w.invalid != nil || w.Kind != stem.Done || w.Tally != nil || len(w.Save) > 0 || len(w.Then) > 0 || w.Receipt.Owner == "":
		return ""
	case w.place.page > 0:
		return "donepage"
	case w.place.claimed > 0:
		return "done"
	}
	return ""
}

// batch is what settlements have in common that one of these scripts takes together.
type batch struct {
	queue, owner       string
	epoch              stem.Epoch
	claimed, page, ttl int64
	claim              byte
	with, terminal     bool
}

func (w *wish) batch() batch {
	b := batch{
		queue: w.Receipt.Queue, owner: w.Receipt.Owner, epoch: w.Receipt.Epoch,
		claimed: w.place.claimed, page: w.place.page, claim: w.place.claim,
	}
	if w.Result != nil {
		b.with, b.terminal, b.ttl = true, w.Result.Status.State.Terminal(), lifeOf(w.Result.TTL)
	}
	return b
}

// doneCall puts as many wishes as fit into one call of lua/done.lua or lua/donepage.lua, batch by batch, and returns them in the order of
// the call.
func (d *db) doneCall(script string, wishes []*wish) (c *call, part []*wish, err error) {
	var order []batch
	members := map[batch][]*wish{}
	for n, size := 0, 0; n < len(wishes) && n < doneMax && size < settleBytes; n++ {
		w := wishes[n]
		b := w.batch()
		if members[b] == nil {
			order = append(order, b)
		}
		members[b] = append(members[b], w)
		if b.with {
			status, err := w.encoded()
			if err != nil {
				return nil, nil, err
			}
			size += len(status)
		}
	}
	c = &call{lanes: d.keys.lanes(), args: []any{d.opts.Dedupe.Microseconds()}}
	for _, b := range order {
		of := members[b]
		number := c.lanes.number(b.queue)
		if script == "done" {
			c.args = append(c.args, b.head(number, len(of)), b.owner)
		} else {
			slices.SortFunc(of, func(x, y *wish) int { return cmp.Compare(x.place.index, y.place.index) })
			c.args = append(c.args, b.pageHead(number, len(of)), b.owner, runs(of))
		}
		for _, w := range of {
			c.args = append(c.args, w.Receipt.ID)
		}
		for i := 0; b.with && i < len(of); i++ {
			c.args = append(c.args, of[i].status)
		}
		part = append(part, of...)
	}
	return c, part, nil
}

// head are the numbers of a batch of lua/done.lua.
func (b batch) head(queue, n int) []byte {
	head := number(number(number(make([]byte, 0, 3*8+2+2*2), int64(b.epoch)), b.claimed), b.ttl)
	head = append(head, flag(b.with), flag(b.terminal))
	return short(short(head, queue), n)
}

// pageHead are those of lua/donepage.lua.
func (b batch) pageHead(queue, n int) []byte {
	head := number(number(number(make([]byte, 0, 3*8+3+2*2), int64(b.epoch)), b.ttl), b.page)
	head = append(head, b.claim, flag(b.with), flag(b.terminal))
	return short(short(head, queue), n)
}

// runs is the first and the last index of each run of tasks that are neighbours in their page.
func runs(of []*wish) []byte {
	var out []byte
	for _, w := range of {
		if n := len(out); n > 0 && out[n-1]+1 == w.place.index {
			out[n-1]++
		} else {
			out = append(out, w.place.index, w.place.index)
		}
	}
	return out
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
