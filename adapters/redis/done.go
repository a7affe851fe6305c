package redis

import (
	"context"

	"github.com/stemd/stem"
)

// doneMax is how many settlements one script does when they are plain.
const doneMax = 256

// finish settles what is done with a task that was claimed once and leaves nothing but perhaps a first result, which is most of all tasks,
// and returns the other settlements. Those of one task stay in their order.
func (d *db) finish(ctx context.Context, wishes []wish) (rest []*wish, err error) {
	var plain []*wish
	seen := make(map[string]struct{}, len(wishes))
	for i := range wishes {
		w := &wishes[i]
		_, again := seen[w.Receipt.ID]
		seen[w.Receipt.ID] = struct{}{}
		if !again && w.plain() {
			plain = append(plain, w)
		} else {
			rest = append(rest, w)
		}
	}
	for len(plain) > 0 {
		lanes, args, part, err := d.doneCall(plain)
		if err != nil {
			return nil, err
		}
		plain = plain[len(part):]
		undone, err := d.run(ctx, "done", lanes, args...).Int64Slice()
		if err != nil {
			return nil, err
		}
		more := make([]*wish, 0, len(undone)+len(rest))
		for _, n := range undone {
			more = append(more, part[n-1])
		}
		rest = append(more, rest...)
	}
	return rest, nil
}

// plain says whether lua/done.lua may do it.
func (w *wish) plain() bool {
	claimed, _ := splitPosition(w.Receipt.Position)
	return claimed > 0 && w.invalid == nil && w.Kind == stem.Done && w.Tally == nil && len(w.Save) == 0 && len(w.Then) == 0 && w.Receipt.Owner != ""
}

// batch is what settlements have in common that lua/done.lua takes together.
type batch struct {
	queue, owner   string
	epoch          stem.Epoch
	claimed, ttl   int64
	with, terminal bool
}

func (w *wish) batch() batch {
	b := batch{queue: w.Receipt.Queue, owner: w.Receipt.Owner, epoch: w.Receipt.Epoch}
	b.claimed, _ = splitPosition(w.Receipt.Position)
	if w.Result != nil {
		b.with, b.terminal, b.ttl = true, w.Result.Status.State.Terminal(), lifeOf(w.Result.TTL)
	}
	return b
}

// doneCall puts as many wishes as fit into one call, batch by batch, and returns them in the order of the call.
func (d *db) doneCall(wishes []*wish) (lanes *lanes, args []any, part []*wish, err error) {
	var order []batch
	members := map[batch][]*wish{}
	statuses := map[batch][]any{}
	size := 0
	for n, w := range wishes {
		if n == doneMax || size >= settleBytes {
			break
		}
		b := w.batch()
		if members[b] == nil {
			order = append(order, b)
		}
		members[b] = append(members[b], w)
		if b.with {
			status := w.Result.Status
			status.ID = w.Receipt.ID
			encoded, err := stem.EncodeStatus(&status)
			if err != nil {
				return nil, nil, nil, err
			}
			statuses[b] = append(statuses[b], encoded)
			size += len(encoded)
		}
	}
	lanes = d.keys.lanes()
	args = []any{d.opts.Dedupe.Microseconds()}
	for _, b := range order {
		head := number(number(number(make([]byte, 0, 3*8+2+2*2), int64(b.epoch)), b.claimed), b.ttl)
		head = append(head, flag(b.with), flag(b.terminal))
		args = append(args, short(short(head, lanes.number(b.queue)), len(members[b])), b.owner)
		for _, w := range members[b] {
			args = append(args, w.Receipt.ID)
		}
		args = append(args, statuses[b]...)
		part = append(part, members[b]...)
	}
	return lanes, args, part, nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
