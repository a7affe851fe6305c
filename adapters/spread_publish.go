package adapters

import (
	"context"
	"fmt"
	"time"

	"github.com/stemd/stem"
)

// post is a message on its way to its lane.
type post struct {
	*stem.Message
	out  *stem.Published
	lane string
	// id and key are the versions of the entries that this publish has made; 0: none, or they were there.
	id, key int64
	mine    bool   // the key is the task's already
	heir    string // the task that ends with this publish and leaves its key to the message; empty: none does
	over    bool   // out says what became of it
	blocked bool   // by an entry that stands for nothing yet
	wait    wait
}

func (p *post) duplicate(of string) { p.out.State, p.out.ID, p.over = stem.Duplicate, of, true }

// miss notes that a part which the message needs can not be reached. Nobody knows what became of it there: what was taken for it stays,
// and counts only if the task is there.
func (p *post) miss(err error) {
	*p.out = stem.Published{State: stem.Unconfirmed, ID: p.ID, Err: fmt.Errorf("publish: %w", unreachable(err))}
	p.over, p.blocked = true, false
}

// plain says that nothing has to be taken for the message: it needs its lane and nothing else.
func (p *post) plain() bool { return unborn(p.Message) && p.Unique.Key == "" }

// Publish implements stem.Broker. A message that meets an entry whose task is just being published by somebody else waits until that
// is so, or until it is clear that nobody does. What can not be taken for a batch is taken for its members apart.
func (b *spreadBroker) Publish(ctx context.Context, msgs ...stem.Message) ([]stem.Published, error) {
	out := make([]stem.Published, len(msgs))
	var posts []*post
	for i := range msgs {
		out[i].ID = msgs[i].ID
		if err := CheckMessage(msgs[i]); err != nil {
			out[i].State, out[i].Err = stem.Rejected, err
			continue
		}
		posts = append(posts, &post{Message: &msgs[i], out: &out[i], lane: b.laneOf(msgs[i].Queue)})
	}
	if err := b.postAll(ctx, posts); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return unlessNone(out)
}

// postAll publishes messages so that each finds those before it. The error is that ctx has ended.
func (b *spreadBroker) postAll(ctx context.Context, posts []*post) error {
	for len(posts) > 0 {
		n := strangers(posts)
		b.postApart(ctx, posts[:n])
		for _, p := range posts[:n] {
			if err := b.insist(ctx, p); err != nil {
				return err
			}
		}
		posts = posts[n:]
	}
	return nil
}

// postMax is how many messages go together at most, so that they are there before publishPatience is over.
const postMax = 500

// strangers is how many messages can go together: up to the second one of an id or of a unique key, which must find the first.
func strangers(posts []*post) int {
	posts = posts[:min(len(posts), postMax)]
	ids, keys := map[string]struct{}{}, map[string]struct{}{}
	for i, p := range posts {
		_, id := ids[p.ID]
		_, key := keys[p.Unique.Key]
		if id || key && p.Unique.Key != "" {
			return i
		}
		ids[p.ID], keys[p.Unique.Key] = struct{}{}, struct{}{}
	}
	return len(posts)
}

// insist tries a message that is blocked again until it is not.
func (b *spreadBroker) insist(ctx context.Context, p *post) error {
	for pause := 2 * time.Millisecond; p.blocked; pause = min(2*pause, publishPatience/20) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("task %s: its id or its unique key is just being taken by another publisher, try again: %w", p.ID, ctx.Err())
		case <-time.After(pause):
		}
		b.postApart(ctx, []*post{p})
	}
	return nil
}

// postApart publishes messages together, and where nothing could be taken for them together, each apart.
func (b *spreadBroker) postApart(ctx context.Context, posts []*post) {
	why := b.post(ctx, posts)
	if why == nil {
		return
	}
	var plain, rest []*post
	for _, p := range posts {
		if p.plain() {
			plain = append(plain, p)
		} else {
			rest = append(rest, p)
		}
	}
	_ = b.post(ctx, plain) // it takes nothing
	for i, err := range apart(ctx, len(rest), why, func(ctx context.Context, i int) error { return b.post(ctx, rest[i:i+1]) }) {
		if err != nil {
			rest[i].miss(err)
		}
	}
}

// post takes ids and keys, publishes, and gives back what it took for messages that were not accepted. With an error it has published
// nothing.
func (b *spreadBroker) post(ctx context.Context, posts []*post) error {
	soon, cancel := context.WithTimeout(ctx, publishPatience)
	defer cancel()
	for _, p := range posts {
		p.id, p.key, p.mine, p.blocked, p.over = 0, 0, false, false, false
	}
	err := together(soon, len(posts), func(ctx context.Context) error {
		if err := b.takeIDs(ctx, posts); err != nil {
			return err
		}
		return b.takeKeys(ctx, posts)
	})
	if err != nil {
		return err
	}
	b.send(soon, posts)
	afterwards(ctx, func(ctx context.Context) { b.published(ctx, posts) })
	return nil
}

// send publishes in the lanes what is still on its way.
func (b *spreadBroker) send(ctx context.Context, posts []*post) {
	var lanes byLane
	for i, p := range posts {
		if !p.over && !p.blocked {
			lanes.add(p.lane, i)
		}
	}
	afterwards(ctx, func(ctx context.Context) { _ = b.list(ctx, lanes.names) }) // what can not be listed now is tried again
	_ = each(lanes.names, func(_ int, name string) error {                      // each message has its own answer
		at := lanes.at[name]
		batch := make([]stem.Message, len(at))
		for n, i := range at {
			batch[n] = toLane(*posts[i].Message)
		}
		var answers []stem.Published
		l, err := b.lane(name)
		if err == nil {
			answers, err = l.Publish(ctx, batch...)
		}
		for n, i := range at {
			if p := posts[i]; err != nil {
				p.miss(err)
			} else {
				*p.out, p.over = answers[n], true
			}
		}
		return nil
	})
}

// takeIDs sees to it that no other lane has a task of these ids.
func (b *spreadBroker) takeIDs(ctx context.Context, posts []*post) error {
	var chosen []*post
	var writes []stem.RecordWrite
	var known []*post // generated ids of which something is known
	for _, p := range posts {
		switch {
		case !p.GeneratedID:
			chosen, writes = append(chosen, p), append(writes, b.idWrite(p))
		case p.State.Epoch > 0:
			known = append(known, p)
		}
	}
	if err := b.elsewhere(ctx, known); err != nil || len(writes) == 0 {
		return err
	}
	versions, conflicts, err := b.directory.save(ctx, writes)
	if err != nil {
		return err
	}
	var taken []*post
	var refs []stem.RecordRef
	for i, p := range chosen {
		if p.id = versions[i]; conflicts[i] {
			taken, refs = append(taken, p), append(refs, idRef(p.ID))
		}
	}
	entries, err := b.directory.load(ctx, refs)
	if err != nil {
		return err
	}
	return b.dispute(ctx, taken, entries)
}

// idWrite makes the entry of a chosen id. It is looked at again when its task may have ended and been forgotten.
func (b *spreadBroker) idWrite(p *post) stem.RecordWrite {
	r := note{Lane: p.lane}.record(idRef(p.ID))
	r.Due = later(b.now(), p.State.NotBefore).Add(max(b.Options.Dedupe, graceAge))
	return stem.RecordWrite{Record: r, Op: stem.CreateRecord}
}

// elsewhere answers generated ids whose task lives in another lane.
func (b *spreadBroker) elsewhere(ctx context.Context, posts []*post) error {
	if len(posts) == 0 {
		return nil
	}
	ids := make([]string, len(posts))
	for i, p := range posts {
		ids[i] = p.ID
	}
	found, err := b.find(ctx, ids, nil)
	if err != nil {
		return err
	}
	for i, p := range posts {
		if found[i].live() && found[i].lane != p.lane {
			p.duplicate(p.ID)
		}
	}
	return nil
}

// dispute decides about ids that have an entry. One of the same lane is made anew, whoever made it: what stands for nothing is not to be
// taken over, or deleted, by somebody else just now.
func (b *spreadBroker) dispute(ctx context.Context, posts []*post, entries []*entry) error {
	var lanes byLane
	for i, p := range posts {
		if e := entries[i]; e == nil {
			p.blocked = true // it went this moment
		} else {
			lanes.add(e.Lane, i)
		}
	}
	known := make([]bool, len(posts))
	err := b.inLanes(&lanes, func(l *lane, at []int) error {
		ids := make([]string, len(at))
		for n, i := range at {
			ids[n] = posts[i].ID
		}
		found, err := l.Knows(ctx, ids...)
		for n, i := range at {
			known[i] = err == nil && found[n]
		}
		return err
	})
	if err != nil {
		return err
	}
	var takers []int
	var writes []stem.RecordWrite
	for i, p := range posts {
		switch e := entries[i]; {
		case e == nil:
		case known[i]:
			p.duplicate(p.ID)
		case e.Lane != p.lane && !p.wait.over(e, b.now()):
			p.blocked = true
		default:
			w := b.idWrite(p)
			w.Op, w.IfVersion = stem.ReplaceRecord, e.record.Version
			takers, writes = append(takers, i), append(writes, w)
		}
	}
	if len(writes) == 0 {
		return nil
	}
	versions, conflicts, err := b.directory.save(ctx, writes)
	if err != nil {
		return err
	}
	for n, i := range takers {
		p := posts[i]
		if p.blocked = conflicts[n]; entries[i].Lane != p.lane { // who made one of our lane may be about to publish
			p.id = versions[n]
		}
	}
	return nil
}

// published settles what a publish took: the keys of what was accepted are held now, and what was taken in vain is given back. An entry
// that can not be changed now stands for what is true or for nothing, and is treated as such by the next who meets it.
func (b *spreadBroker) published(ctx context.Context, posts []*post) {
	var confirm []stem.RecordWrite
	var again []stake
	var refs []stem.RecordRef
	var versions []int64
	for _, p := range posts {
		switch accepted := p.over && p.out.State == stem.Accepted; {
		case accepted:
			b.hints.set(p.ID, p.lane)
			if p.key != 0 {
				w := b.keyWrite(p, true)
				w.Op, w.IfVersion = stem.ReplaceRecord, p.key
				confirm = append(confirm, w)
			} else if p.mine {
				again = append(again, stake{p.ID, p.lane, p.Unique, p.State.NotBefore, 0})
			}
		case p.over && p.out.State == stem.Unconfirmed: // it may be there
		case p.over || p.blocked:
			if p.key != 0 {
				refs, versions = append(refs, keyRef(p.Unique.Key)), append(versions, p.key)
			}
			if p.id != 0 && (p.blocked || p.out.State == stem.Rejected || p.out.ID != p.ID) {
				refs, versions = append(refs, idRef(p.ID)), append(versions, p.id)
			}
		}
	}
	_ = b.directory.erase(ctx, refs, versions)
	if len(confirm) > 0 {
		_, _, _ = b.directory.save(ctx, confirm)
	}
	_ = b.renew(ctx, again)
}

// later is the later one of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
