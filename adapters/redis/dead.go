package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	taskv1 "github.com/stemd/stem/plugin/proto/stem/task/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// letterChunk is how many dead letters are looked at in one round trip.
	letterChunk = 200
	// letterBytes is how many bytes of them are asked for, but for the last one.
	letterBytes = 1 << 20
)

// letter is a dead letter with its number in the order of death.
type letter struct {
	stem.DeadLetter
	serial int64
}

// decodeLetter reads what lua/end.lua buries.
func decodeLetter(value string) (*letter, error) {
	r := &reader{s: value}
	l := &letter{serial: r.number()}
	died, _, why, sealed := r.number(), r.name(), r.blob(), r.name()
	if r.err != nil {
		return nil, r.err
	}
	s, err := decodeState(sealed)
	if err != nil {
		return nil, err
	}
	if l.Message, err = decodeMessage(s, r.s); err != nil {
		return nil, err
	}
	l.DeadAt = at(died)
	w := &reader{s: why}
	if l.Reason = w.blob(); w.s == "" {
		return l, w.err
	}
	var e taskv1.Error
	if err := proto.Unmarshal([]byte(w.s[1:]), &e); err != nil {
		return nil, err
	}
	l.Error = stem.TaskErrorFromProto(&e)
	return l, nil
}

// letters finds dead letters, newest first, limit of them after the first offset; limit < 0: all.
func (b *broker) letters(ctx context.Context, q stem.DeadLetterQuery, offset, limit int) ([]*letter, error) {
	matches := func(l *letter) bool {
		return (q.Queue == "" || l.Message.Queue == q.Queue) && !l.DeadAt.Before(q.Since)
	}
	var out []*letter
	take := func(l *letter) (full bool) {
		if !matches(l) {
			return false
		}
		if offset > 0 {
			offset--
			return false
		}
		out = append(out, l)
		return len(out) == limit
	}
	if len(q.IDs) > 0 {
		found, err := b.lettersOf(ctx, q.IDs)
		for _, l := range found {
			if take(l) {
				break
			}
		}
		return out, err
	}
	keys := b.keys.lanes()
	for skip := 0; ; {
		values, err := b.run(ctx, "letters", keys, q.Queue, strconv.FormatInt(us(q.Since), 10), skip, letterChunk, letterBytes).Slice()
		if err != nil {
			return nil, err
		}
		for i := 2; i+1 < len(values); i += 2 {
			l, err := decodeLetter(values[i+1].(string))
			if err != nil {
				return nil, err
			}
			if take(l) {
				return out, nil
			}
		}
		if skip += int(values[0].(int64)); values[1].(int64) == 0 {
			return out, nil
		}
	}
}

// lettersOf finds the dead letters of these ids, newest first.
func (b *broker) lettersOf(ctx context.Context, ids []string) ([]*letter, error) {
	var out []*letter
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for part := range slices.Chunk(ids, letterChunk) {
		values, err := b.client.HMGet(ctx, b.keys.key(deadKey), part...).Result()
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			value, ok := v.(string)
			if !ok {
				continue
			}
			l, err := decodeLetter(value)
			if err != nil {
				return nil, err
			}
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(x, y *letter) int {
		if c := y.DeadAt.Compare(x.DeadAt); c != 0 {
			return c
		}
		return int(y.serial - x.serial)
	})
	return out, nil
}

// DeadLetters implements stem.Inspector.
func (b *broker) DeadLetters(ctx context.Context, q stem.DeadLetterQuery) (stem.DeadLetterPage, error) {
	var page stem.DeadLetterPage
	limit := adapters.PageLimit(q.Limit)
	found, err := b.letters(ctx, q, q.Offset, limit+1)
	if err != nil {
		return page, b.wrap("dead letters", err)
	}
	for i, l := range found {
		if i == limit {
			page.More = true
			break
		}
		page.Items = append(page.Items, l.DeadLetter)
	}
	return page, nil
}

// Replay implements stem.Inspector. The letters selected are the newest; they go back in the order in which they died.
func (b *broker) Replay(ctx context.Context, r stem.Replay) ([]stem.Replayed, error) {
	if err := b.mayWrite("replay"); err != nil {
		return nil, err
	}
	found, err := b.letters(ctx, r.DeadLetterQuery, r.Offset, adapters.PageLimit(r.Limit))
	if err != nil {
		return nil, b.wrap("replay", err)
	}
	out := make([]stem.Replayed, len(found))
	for i, l := range found {
		out[i].DeadLetter = l.DeadLetter
	}
	for end := len(found); end > 0; {
		from := end
		for size := 0; from > 0 && end-from < publishMax && size < publishBytes; from-- {
			size += sizeOf(&found[from-1].Message)
		}
		answers, err := b.replay(ctx, found[from:end], r)
		if err != nil {
			return nil, b.wrap("replay", err)
		}
		for i, answer := range answers {
			if err := whyNot(answer); err != nil {
				out[from+i].Err = fmt.Errorf("redis: replay: %w", err)
			}
		}
		end = from
	}
	return out, nil
}

// whyNot reads an answer of lua/replay.lua.
func whyNot(answer string) error {
	switch {
	case answer == "":
		return nil
	case answer == "!":
		return adapters.ErrLive
	case answer == "?":
		return adapters.ErrGone
	}
	return adapters.KeyTaken(strings.TrimPrefix(answer, "="))
}

// replay moves letters, the last one first, and returns the answers in the order of the letters.
func (b *broker) replay(ctx context.Context, letters []*letter, r stem.Replay) ([]string, error) {
	now, err := b.now(ctx)
	if err != nil {
		return nil, err
	}
	var notBefore time.Time
	if r.Delay > 0 {
		notBefore = now.Add(r.Delay)
	}
	lanes, args := b.keys.lanes(), []any{flag(r.DryRun)}
	for _, l := range slices.Backward(letters) {
		m := l.Message
		m.State = adapters.Replayed(m.State, notBefore)
		if args, err = appendCall(args, lanes, &m); err != nil {
			return nil, err
		}
		args = append(args, l.serial, us(m.State.Created), m.State.Replays)
	}
	answers, err := b.run(ctx, "replay", lanes, args...).StringSlice()
	slices.Reverse(answers)
	return answers, err
}

// PurgeDeadLetters implements stem.Inspector.
func (b *broker) PurgeDeadLetters(ctx context.Context, q stem.DeadLetterQuery) (int, error) {
	if err := b.mayWrite("purge dead letters"); err != nil {
		return 0, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	total, keys := 0, b.keys.lanes()
	for limit != 0 {
		slice := letterChunk
		if limit > 0 {
			slice = min(slice, limit)
		}
		found, err := b.letters(ctx, q, q.Offset, slice)
		if err != nil || len(found) == 0 {
			return total, b.wrap("purge dead letters", err)
		}
		var args []any
		for _, l := range found {
			args = append(args, l.Message.ID, l.serial)
		}
		n, err := b.run(ctx, "purgedead", keys, args...).Int()
		if err != nil {
			return total, b.wrap("purge dead letters", err)
		}
		if total += n; limit > 0 {
			limit -= len(found)
		}
	}
	return total, nil
}
