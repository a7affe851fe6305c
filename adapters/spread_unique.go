package adapters

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

// keyWrite makes or confirms the entry of a message's unique key.
func (b *spreadBroker) keyWrite(p *post, held bool) stem.RecordWrite {
	w := stem.RecordWrite{Record: note{Lane: p.lane, Task: p.ID, Held: held}.record(keyRef(p.Unique.Key)), Op: stem.CreateRecord}
	if due := p.State.NotBefore; due.After(b.now()) {
		w.Record.Expires = due.Add(ReservedFor(p.Unique))
	} else {
		w.TTL = ReservedFor(p.Unique)
	}
	return w
}

// takeKeys takes the unique keys of messages that are still on their way, or says who holds them.
func (b *spreadBroker) takeKeys(ctx context.Context, posts []*post) error {
	var want []*post
	var writes []stem.RecordWrite
	for _, p := range posts {
		if p.Unique.Key != "" && !p.over && !p.blocked {
			want, writes = append(want, p), append(writes, b.keyWrite(p, false))
		}
	}
	if len(want) == 0 {
		return nil
	}
	versions, conflicts, err := b.directory.save(ctx, writes)
	if err != nil {
		return err
	}
	var taken []*post
	var refs []stem.RecordRef
	for i, p := range want {
		if p.key = versions[i]; conflicts[i] {
			taken, refs = append(taken, p), append(refs, keyRef(p.Unique.Key))
		}
	}
	entries, err := b.directory.load(ctx, refs)
	if err != nil {
		return err
	}
	var own, others []*post
	var ours, theirs []*entry
	for i, p := range taken {
		switch e := entries[i]; {
		case e == nil:
			p.blocked = true // it went this moment
		case e.Task == p.ID:
			own, ours = append(own, p), append(ours, e)
		default:
			others, theirs = append(others, p), append(theirs, e)
		}
	}
	if err := b.retake(ctx, own, ours); err != nil {
		return err
	}
	return b.contest(ctx, others, theirs)
}

// retake makes entries anew that are their messages' own already: what stands for nothing is not to be taken over by somebody else just
// now. The task may be there all the same, so they are not given back.
func (b *spreadBroker) retake(ctx context.Context, posts []*post, entries []*entry) error {
	writes := make([]stem.RecordWrite, len(posts))
	for i, p := range posts {
		w, old := b.keyWrite(p, false), entries[i].record
		w.Op, w.IfVersion = stem.ReplaceRecord, old.Version
		if till := later(w.Record.Expires, b.now().Add(w.TTL)); old.Expires.After(till) {
			w.Record.Expires, w.TTL = old.Expires, 0
		}
		writes[i] = w
	}
	if len(writes) == 0 {
		return nil
	}
	_, conflicts, err := b.directory.save(ctx, writes)
	if err != nil {
		return err
	}
	for i, p := range posts {
		p.mine, p.blocked = true, conflicts[i]
	}
	return nil
}

// contest decides about keys that somebody else's entry is in the way of. The entry of a task that was there and lives no more counts
// for nothing; that of one which was about to be published, only after the grace.
func (b *spreadBroker) contest(ctx context.Context, posts []*post, entries []*entry) error {
	if len(posts) == 0 {
		return nil
	}
	holders, guess := make([]string, len(posts)), map[string]string{}
	for i, e := range entries {
		holders[i], guess[e.Task] = e.Task, e.Lane
	}
	found, err := b.find(ctx, holders, guess)
	if err != nil {
		return err
	}
	for i, p := range posts {
		e := entries[i]
		if found[i].live() && e.Task != p.heir {
			if err := b.standFor(ctx, p, e.Task); err != nil {
				return err
			}
			continue
		}
		if p.blocked = true; e.Task != p.heir && !e.Held && !p.wait.over(e, b.now()) {
			continue
		}
		w := b.keyWrite(p, false)
		w.Op, w.IfVersion = stem.ReplaceRecord, e.record.Version
		versions, conflicts, err := b.directory.save(ctx, []stem.RecordWrite{w})
		if err != nil {
			return err
		}
		p.key, p.blocked = versions[0], conflicts[0]
	}
	return nil
}

// standFor answers a message whose key is held. An id that its lane knows is a duplicate of itself first of all.
func (b *spreadBroker) standFor(ctx context.Context, p *post, holder string) error {
	l, err := b.lane(p.lane)
	if err != nil {
		return err
	}
	known, err := l.Knows(ctx, p.ID)
	if err != nil {
		return err
	}
	if known[0] {
		holder = p.ID
	}
	p.duplicate(holder)
	return nil
}

// stake is a live task's claim to its unique key.
type stake struct {
	task, lane string
	unique     stem.Reservation
	busy       time.Time     // it is due or leased until then; the past means now
	lease      time.Duration // > 0: busy is this long from now instead
}

// renewals is how often a key is prolonged that somebody else changes meanwhile, as a publisher does that confirms what was just claimed.
const renewals = 3

// renew takes or prolongs the keys of live tasks, as far as nobody else holds them. Of several that want one key the first gets it.
func (b *spreadBroker) renew(ctx context.Context, stakes []stake) (err error) {
	for n := 0; n < renewals && len(stakes) > 0 && err == nil; n++ {
		stakes, err = b.renewOnce(ctx, stakes)
	}
	return err
}

// renewOnce returns those whose entries have changed meanwhile.
func (b *spreadBroker) renewOnce(ctx context.Context, stakes []stake) (again []stake, err error) {
	var refs []stem.RecordRef
	for _, s := range stakes {
		refs = append(refs, keyRef(s.unique.Key))
	}
	entries, err := b.directory.load(ctx, refs)
	if err != nil {
		return nil, err
	}
	var writes []stem.RecordWrite
	var written []stake
	keys := map[string]struct{}{}
	for i, s := range stakes {
		if _, twice := keys[s.unique.Key]; twice {
			continue
		}
		if e := entries[i]; e == nil || e.Task == s.task {
			keys[s.unique.Key] = struct{}{}
			writes, written = append(writes, b.renewal(s, e)), append(written, s)
		}
	}
	if len(writes) == 0 {
		return nil, nil
	}
	_, conflicts, err := b.directory.save(ctx, writes)
	for i, s := range written {
		if err == nil && conflicts[i] {
			again = append(again, s)
		}
	}
	return again, err
}

// renewal is the entry of a task that lives; e is the present one, or nil. It never ends earlier than that.
func (b *spreadBroker) renewal(s stake, e *entry) stem.RecordWrite {
	w := stem.RecordWrite{Record: note{Lane: s.lane, Task: s.task, Held: true}.record(keyRef(s.unique.Key)), Op: stem.CreateRecord}
	until := later(b.now().Add(s.lease), s.busy).Add(ReservedFor(s.unique))
	if s.busy.After(b.now()) && s.lease == 0 {
		w.Record.Expires = until
	} else {
		w.TTL = s.lease + ReservedFor(s.unique)
	}
	if e != nil {
		w.Op, w.IfVersion = stem.ReplaceRecord, e.record.Version
		if e.record.Expires.After(until) {
			w.Record.Expires, w.TTL = e.record.Expires, 0
		}
	}
	return w
}

// rehouse notes in which lane the holders of keys are now.
func (b *spreadBroker) rehouse(ctx context.Context, stakes []stake) error {
	var refs []stem.RecordRef
	for _, s := range stakes {
		refs = append(refs, keyRef(s.unique.Key))
	}
	entries, err := b.directory.load(ctx, refs)
	if err != nil {
		return err
	}
	var writes []stem.RecordWrite
	for i, e := range entries {
		if s := stakes[i]; e != nil && e.Task == s.task {
			w := stem.RecordWrite{Record: note{Lane: s.lane, Task: s.task, Held: true}.record(refs[i]), Op: stem.ReplaceRecord, IfVersion: e.record.Version}
			w.Record.Expires = e.record.Expires
			writes = append(writes, w)
		}
	}
	if len(writes) == 0 {
		return nil
	}
	_, _, err = b.directory.save(ctx, writes)
	return err
}

// release gives up the keys of tasks that ended, as far as they are theirs. One that can not be given up now counts for nothing all the
// same, since its task lives no more.
func (b *spreadBroker) release(ctx context.Context, stakes []stake) {
	var refs []stem.RecordRef
	for _, s := range stakes {
		refs = append(refs, keyRef(s.unique.Key))
	}
	entries, err := b.directory.load(ctx, refs)
	if err != nil {
		return
	}
	versions := make([]int64, len(refs))
	for i, e := range entries {
		if e != nil && e.Task == stakes[i].task {
			versions[i] = e.record.Version
		}
	}
	_ = b.directory.erase(ctx, refs, versions)
}
