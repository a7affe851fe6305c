package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

const (
	// boxMax is how many messages go into inboxes together: more are cheaper in pages from the start.
	boxMax = 32
	// boxBytes is the size of an inbox, in bytes, from which on those who publish into it sort it, if nobody else has.
	boxBytes = 128 << 10
)

// plain says whether a message is ready at once and reserves no key, as most do.
func plain(m *stem.Message) bool {
	return m.State.NotBefore.IsZero() && m.State.Epoch == 0 && m.Unique.Key == ""
}

// fitBox says whether these messages go into inboxes, see lua/inbox.lua: few of one queue that need nothing of
// the server but to be kept, and whose ids are new.
func (d *db) fitBox(msgs []stem.Message, at []int) bool {
	if len(at) == 0 || len(at) > boxMax || d.pageMin <= 1 {
		return false
	}
	for _, n := range at {
		if m := &msgs[n]; m.Queue != msgs[at[0]].Queue || !plain(m) || m.Lease != 0 || !m.GeneratedID || !isNewID(m.ID) || m.Envelope.Size() > pagedBytes {
			return false
		}
	}
	return distinct(msgs, at)
}

// isNewID says whether an id may be of stem.NewID. Nobody generates such a one again, so who has one that he did not generate has copied it.
func isNewID(id string) bool { return len(id) == 36 && id[14] == '7' }

// once is a command that is not sent again by itself when its connection breaks.
type once struct{ *redis.Cmd }

// NoRetry implements redis.Cmder.
func (once) NoRetry() bool { return true }

// mails are buffers of []byte for what is put into inboxes.
var mails = sync.Pool{New: func() any { return new([]byte) }}

// box puts messages of one queue into its inbox, all or none. Where it fails they may be there, and who publishes them again has them looked
// for. The note behind them that there is something in this inbox, and the bell, only say where to look: who puts anything behind it, or takes
// something out of its queue, looks for himself. One that comes alone, as far as is known here, is offered instead, see offer.go.
func (d *db) box(ctx context.Context, msgs []stem.Message, at []int) error {
	now, err := d.reckon(ctx)
	if err != nil {
		return err
	}
	now = d.later(now)
	queue, first := msgs[at[0]].Queue, &msgs[at[0]]
	filling := d.filling.Load()
	filled := filling != nil && *filling == queue
	offer, came := d.offers && len(at) == 1 && !filled, now
	if offer {
		came = -now
	}
	buffer := mails.Get().(*[]byte)
	defer mails.Put(buffer)
	mail := slices.Grow((*buffer)[:0], len(at)*(sizeOf(first)+256))
	for _, n := range at {
		if mail, err = appendItem(mail, came, &msgs[n], 1); err != nil {
			return err
		}
	}
	*buffer = mail
	size, err := d.post(ctx, parcel{queue, mail, offerScore(first.Priority, now), filled, offer})
	if err == nil && size >= boxBytes {
		_ = d.sortInboxes(ctx, queue) // what is published is; the next one tries again
	}
	return err
}

// parcel is what is put into an inbox.
type parcel struct {
	queue         string
	mail          []byte
	score         int64 // of the offer
	filled, offer bool  // there was something in it before, as far as is known; it is offered too
}

// post sends what box has made, and says how large the inbox is then. The note comes behind each, as whoever sorts what is there takes it away. The
// bell of an inbox that has something has been rung, or its first message is offered: where it had with the last message, it is rung only if
// it has not any more.
func (d *db) post(ctx context.Context, p parcel) (size int64, err error) {
	server, free := d.quickest()
	defer free()
	pipe := server.Pipeline()
	if p.offer {
		pipe.Do(ctx, "MULTI")
	}
	length := redis.NewCmd(ctx, "APPEND", d.keys.inbox(p.queue), p.mail)
	_ = pipe.Process(ctx, once{length})
	all := length
	pipe.Do(ctx, "SADD", d.keys.key(inboxesKey), p.queue)
	switch {
	case p.offer:
		pipe.Do(ctx, "ZADD", d.keys.offers(p.queue), p.score, p.mail)
		all = pipe.Do(ctx, "EXEC")
	case !p.filled:
		d.ring(ctx, pipe, p.queue)
	}
	var clock func() time.Time
	if r := d.reckoning.Load(); !d.ownClock && (r == nil || time.Since(r.here) > reckonEvery) {
		clock = d.askTime(ctx, pipe)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, err
	}
	if clock != nil {
		d.reckonBy(clock().UnixMicro())
	}
	if size, err = appended(all, p.offer); err != nil {
		return 0, err
	}
	switch empty := size == int64(len(p.mail)); {
	case empty && p.filled:
		d.filling.Store(nil)
		err = d.ring(ctx, server, p.queue).Err()
	case !empty && !p.filled:
		d.filling.Store(&p.queue)
		if p.offer { // what comes next is neither offered nor rung for, and may be more urgent than what is offered
			err = d.ring(ctx, server, p.queue).Err()
		}
	}
	return size, err
}

// ring rings the bell of a queue.
func (d *db) ring(ctx context.Context, server redis.Cmdable, queue string) *redis.IntCmd {
	return server.ZAdd(ctx, d.keys.bell(queue), redis.Z{Member: "r"})
}

// appended is how large an APPEND has made an inbox, as it says itself or, first of three, its transaction.
func appended(answer *redis.Cmd, offer bool) (int64, error) {
	if !offer {
		return answer.Int64()
	}
	of, err := answer.Int64Slice()
	if err == nil && len(of) != 3 {
		err = errShort
	}
	if err != nil {
		return 0, err
	}
	return of[0], nil
}

// sortInboxes has the server sort the inboxes of queues.
func (d *db) sortInboxes(ctx context.Context, queues ...string) error {
	for len(queues) > 0 {
		part := queues[:min(len(queues), countMax)]
		more, err := d.run(ctx, "sort", d.keys.lanes(part...), len(part)).Int64Slice()
		if err != nil {
			return err
		}
		queues = slices.Clone(queues[len(part):])
		for _, n := range more {
			queues = append(queues, part[n-1])
		}
	}
	return nil
}

// sorted has it sort them, and says whether it could: one that may not be written, or whose disk is full, can not.
func (d *db) sorted(ctx context.Context, queues ...string) (bool, error) {
	if d.opts.ReadOnly {
		return false, nil
	}
	err := d.sortInboxes(ctx, queues...)
	if errors.Is(d.wrap("sort", err), stem.ErrReadOnly) {
		return false, nil
	}
	return err == nil, err
}

// boxed are the queues that may have something in their inboxes.
func (d *db) boxed(ctx context.Context) ([]string, error) {
	queues, err := d.client.SMembers(ctx, d.keys.key(inboxesKey)).Result()
	slices.Sort(queues)
	return queues, err
}

// sortFor has it sort the inboxes if a task of one of these ids may be in one.
func (d *db) sortFor(ctx context.Context, ids ...string) error {
	if !slices.ContainsFunc(ids, isNewID) {
		return nil
	}
	queues, err := d.boxed(ctx)
	if err != nil {
		return err
	}
	return d.sortInboxes(ctx, queues...)
}

// copied are those of these messages' ids that somebody else may have generated.
func copied(msgs []stem.Message, at []int) (ids []string) {
	for _, n := range at {
		if m := &msgs[n]; !m.GeneratedID && isNewID(m.ID) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// peekChunk is how many inboxes are read in one round trip.
const peekChunk = 8

// peek reads the tasks in the inboxes of queues, by id. It is for who can not sort them.
func (d *db) peek(ctx context.Context, queues []string) (map[string]known, error) {
	out := map[string]known{}
	for part := range slices.Chunk(queues, peekChunk) {
		keys := make([]string, len(part))
		for i, q := range part {
			keys[i] = d.keys.inbox(q)
		}
		mails, err := d.client.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, err
		}
		for _, mail := range mails {
			if mail, ok := mail.(string); ok {
				readMail(mail, out)
			}
		}
	}
	return out, nil
}

// readMail reads the messages of an inbox. What is none is for who sorts or claims it to say.
func readMail(mail string, into map[string]known) {
	for r := (&reader{s: mail}); ; {
		created, id, given := r.number(), r.name(), r.blob()
		if r.err != nil {
			return
		}
		created = max(created, -created)
		if s, rest, err := decodeGiven(given, 0, created); err == nil {
			if m, err := decodeMessage(s, rest); err == nil {
				into[id] = known{live: &m, state: s}
			}
		}
	}
}
