package redis

import (
	"context"
	"fmt"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	"google.golang.org/protobuf/proto"
)

const (
	// settleMax is how many settlements one script does.
	settleMax = 100
	// settleBytes is the size of what they write, in bytes, after which a script takes no more.
	settleBytes = 1 << 20
)

// Kinds of settlements that only this package asks for, see lua/settle.lua.
const (
	kindCancel = stem.AckEarly + 1 // ends a task that nobody has claimed
	kindProbe  = stem.AckEarly + 2 // only asks whether the claim is held
)

// Flags of a settlement.
const (
	withState = 1 << iota
	withResult
	withTerminal
	withTally
	withCallback
)

// Settle implements stem.Broker. Each settlement is all or nothing, because everything that can refuse it is looked at before
// its first write.
func (b *broker) Settle(ctx context.Context, settlements ...stem.Settlement) ([]error, error) {
	if err := b.mayWrite("settle"); err != nil {
		return nil, err
	}
	if err := b.booked(ctx); err != nil {
		return nil, b.wrap("settle", err)
	}
	wishes := make([]wish, len(settlements))
	for i := range settlements {
		wishes[i] = wish{Settlement: settlements[i], invalid: checkSettlement(settlements[i])}
		if wishes[i].invalid != nil {
			wishes[i].Settlement = stem.Settlement{Receipt: settlements[i].Receipt, Kind: kindProbe}
		}
	}
	rest, err := b.finish(ctx, wishes)
	if err == nil {
		err = b.settle(ctx, rest)
	}
	if err != nil {
		return nil, b.wrap("settle", err)
	}
	errs := make([]error, len(settlements))
	for i, w := range wishes {
		err := w.outcome
		if err == nil {
			err = w.invalid
		}
		if err != nil {
			errs[i] = fmt.Errorf("redis: settle: %w", err)
		}
	}
	return errs, nil
}

func checkSettlement(s stem.Settlement) error {
	for _, w := range s.Save {
		if err := checkRecord(w.Record); err != nil {
			return err
		}
	}
	return adapters.CheckSettlement(s)
}

// wish is a settlement on its way.
type wish struct {
	stem.Settlement
	place      place  // of its receipt
	status     []byte // of its result, once it is encoded
	invalid    error
	generation string        // of the group that callback belongs to
	callback   *stem.Message // to be published when this completes its group
	outcome    error
}

// encoded is the status of its result.
func (w *wish) encoded() (_ []byte, err error) {
	if w.status == nil {
		status := w.Result.Status
		status.ID = w.Receipt.ID
		w.status, err = stem.EncodeStatus(&status)
	}
	return w.status, err
}

// settle carries wishes out and notes the outcome of each.
func (d *db) settle(ctx context.Context, wishes []*wish) error {
	for len(wishes) > 0 {
		lanes, args, err := d.settleCall(wishes)
		if err != nil {
			return err
		}
		answers, err := d.run(ctx, "settle", lanes, args...).Slice()
		if err != nil {
			return err
		}
		var again []*wish
		for i, answer := range answers {
			w := wishes[i]
			switch answer := answer.(type) {
			case int64:
				w.outcome = outcomes[answer]
			case []any: // it would complete its group: once more, with the callback
				w.generation = answer[0].(string)
				if w.callback, err = stem.DecodeMessage([]byte(answer[1].(string))); err != nil {
					return fmt.Errorf("callback of group %s: %w", w.Tally.Group, err)
				}
				again = append(again, w)
			}
		}
		for _, w := range again {
			if err := d.settle(ctx, []*wish{w}); err != nil {
				return err
			}
		}
		wishes = wishes[len(answers):]
	}
	return nil
}

// outcomes by the numbers of lua/settle.lua.
var outcomes = [...]error{nil, stem.ErrLeaseLost, stem.ErrConflict, adapters.ErrAckedEarly}

// settleCall puts as many wishes as fit into one call.
func (d *db) settleCall(wishes []*wish) (lanes *lanes, args []any, err error) {
	lanes = d.keys.lanes()
	args = make([]any, 0, 1+6*min(len(wishes), settleMax))
	args = append(args, d.opts.Dedupe.Microseconds())
	counted := map[string]bool{} // what follows for one of these tasks waits: it may have to be asked for again first
	for n, size := 0, 0; n < len(wishes) && n < settleMax && size < settleBytes && !counted[wishes[n].Receipt.ID]; n++ {
		if wishes[n].Tally != nil {
			counted[wishes[n].Receipt.ID] = true
		}
		before := len(args)
		if args, err = d.appendWish(args, lanes, wishes[n]); err != nil {
			return nil, nil, err
		}
		for _, a := range args[before:] {
			if b, ok := a.([]byte); ok {
				size += len(b)
			}
		}
	}
	return lanes, args, nil
}

func (d *db) appendWish(args []any, lanes *lanes, w *wish) ([]any, error) {
	var flags byte
	var result, extra []byte
	var ttl int64
	word, target := any(""), 0
	var err error
	switch w.Kind {
	case stem.Park:
		w.Queue = stem.ParkedPrefix + splitPosition(w.Receipt.Position).name
		fallthrough
	case stem.Move:
		word, target = w.Queue, lanes.number(w.Queue)
	case stem.Dead:
		if word, err = encodeWhy(&w.Settlement); err != nil {
			return nil, err
		}
	}
	if keeps := w.Kind >= stem.Retry && w.Kind <= stem.Dead; keeps && w.State != nil {
		flags |= withState
		if extra, err = stem.EncodeState(*w.State); err != nil {
			return nil, err
		}
	}
	if w.Result != nil {
		flags |= withResult
		if w.Result.Status.State.Terminal() {
			flags |= withTerminal
		}
		if result, err = w.encoded(); err != nil {
			return nil, err
		}
		ttl = lifeOf(w.Result.TTL)
	}
	var end byte
	if w.Tally != nil {
		flags |= withTally
		end = endOf(w.Tally.State)
		if w.callback != nil {
			flags |= withCallback
		}
	}
	head := make([]byte, 0, 3*8+3+4*2)
	head = number(number(number(head, int64(w.Receipt.Epoch)), us(w.At)), ttl)
	head = append(head, byte(w.Kind), flags, end)
	for _, n := range [...]int{lanes.number(w.Receipt.Queue), target, len(w.Save), len(w.Then)} {
		head = short(head, n)
	}
	args = append(args, head, w.Receipt.ID, w.Receipt.Owner, result, extra, word)
	if w.Tally != nil {
		args = append(args, w.Tally.Group)
	}
	if w.callback != nil {
		args = append(args, w.generation)
		if args, err = appendCall(args, lanes, w.callback); err != nil {
			return nil, err
		}
	}
	for i := range w.Save {
		args = appendWrite(args, &w.Save[i])
	}
	for i := range w.Then {
		if args, err = appendCall(args, lanes, &w.Then[i]); err != nil {
			return nil, err
		}
	}
	return args, nil
}

func appendCall(args []any, lanes *lanes, m *stem.Message) ([]any, error) {
	given, err := encodeMessage(m, lanes.number(m.Queue))
	return append(args, m.ID, given), err
}

// encodeWhy is the reason and the error of a task that dies.
func encodeWhy(s *stem.Settlement) ([]byte, error) {
	reason := s.Reason
	if reason == "" {
		reason = stem.ReasonUnknown
	}
	why := blob(nil, []byte(reason))
	if s.Result == nil || s.Result.Status.Error == nil {
		return why, nil
	}
	b, err := proto.Marshal(s.Result.Status.Error.Proto())
	return append(append(why, 1), b...), err
}
