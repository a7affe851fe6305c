package adapters

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/stemd/stem"
)

// Kinds of the directory's records. Each id and each key is a part of its own, so that the store can keep them apart.
const (
	kindID   = "id"
	kindKey  = "key"
	kindMove = "move"
	kindLane = "lane"
	lanePart = "lanes"
)

func idRef(id string) stem.RecordRef   { return stem.RecordRef{Kind: kindID, Part: id, ID: id} }
func keyRef(key string) stem.RecordRef { return stem.RecordRef{Kind: kindKey, Part: key, ID: key} }

func moveRef(lane, id string) stem.RecordRef {
	return stem.RecordRef{Kind: kindMove, Part: lane + "\x00" + id, ID: id}
}

func laneRef(name string) stem.RecordRef {
	return stem.RecordRef{Kind: kindLane, Part: lanePart, ID: name}
}

// note is the body of a directory's record.
type note struct {
	Lane string `json:"lane"`
	Task string `json:"task,omitempty"` // who holds a key
	// Held: the task was there when this was written; else it was about to be published.
	Held bool `json:"held,omitempty"`
	// Where a stay moves to, and the daemons' part of its state there.
	Queue string `json:"queue,omitempty"`
	Stay  string `json:"stay,omitempty"`
	State []byte `json:"state,omitempty"`
}

func (n note) record(ref stem.RecordRef) stem.Record {
	body, err := json.Marshal(n)
	if err != nil {
		panic(err) // strings and a bool
	}
	return stem.Record{RecordRef: ref, Body: body}
}

// entry is a record that was read.
type entry struct {
	note
	record *stem.Record
}

// directory reads and changes entries. Every write stands for itself: one that meets another version is not made, and the others are.
type directory struct{ records stem.Records }

// apartSaver is the optional capability of Records to save many writes in one round trip, each for itself.
type apartSaver interface {
	// SaveApart is Save for each write alone; conflicts says which of them met another version.
	SaveApart(ctx context.Context, writes ...stem.RecordWrite) (versions []int64, conflicts []bool, err error)
}

func (d directory) save(ctx context.Context, writes []stem.RecordWrite) (versions []int64, conflicts []bool, err error) {
	if s, ok := d.records.(apartSaver); ok {
		return s.SaveApart(ctx, writes...)
	}
	versions, conflicts = make([]int64, len(writes)), make([]bool, len(writes))
	err = each(writes, func(i int, w stem.RecordWrite) error {
		got, err := d.records.Save(ctx, w)
		if conflicts[i] = errors.Is(err, stem.ErrConflict); conflicts[i] {
			return nil
		}
		if err == nil {
			versions[i] = got[0]
		}
		return err
	})
	return versions, conflicts, err
}

// load reads entries, nil where there is none.
func (d directory) load(ctx context.Context, refs []stem.RecordRef) ([]*entry, error) {
	out := make([]*entry, len(refs))
	if len(refs) == 0 {
		return out, nil
	}
	found, err := d.records.Load(ctx, refs...)
	if err != nil {
		return nil, err
	}
	for i, r := range found {
		if r == nil {
			continue
		}
		if out[i], err = entryOf(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func entryOf(r *stem.Record) (*entry, error) {
	e := &entry{record: r}
	return e, json.Unmarshal(r.Body, &e.note)
}

// sweepSlice is how many entries of a kind one call of Maintain looks at.
const sweepSlice = 500

// due are the entries of a kind that are to be looked at by then.
func (d directory) due(ctx context.Context, kind string, by time.Time) (out []*entry, more bool, err error) {
	page, err := d.records.List(ctx, stem.RecordQuery{Kind: kind, DueBefore: by, Limit: sweepSlice})
	if err != nil {
		return nil, false, err
	}
	out = make([]*entry, len(page.Items))
	for i := range page.Items {
		if out[i], err = entryOf(&page.Items[i]); err != nil {
			return nil, false, err
		}
	}
	return out, page.Next != "", nil
}

// erase deletes entries that are still of these versions.
func (d directory) erase(ctx context.Context, refs []stem.RecordRef, versions []int64) error {
	var writes []stem.RecordWrite
	for i, ref := range refs {
		if versions[i] != 0 {
			writes = append(writes, stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.DeleteRecord, IfVersion: versions[i]})
		}
	}
	if len(writes) == 0 {
		return nil
	}
	_, _, err := d.save(ctx, writes)
	return err
}

// lanes are the names of all lanes that anything was ever published to.
func (d directory) lanes(ctx context.Context) ([]string, error) {
	var names []string
	part := lanePart
	for q := (stem.RecordQuery{Kind: kindLane, Part: &part, Limit: pageMax}); ; {
		page, err := d.records.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Items {
			names = append(names, r.ID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return names, nil
		}
	}
}

const (
	// publishPatience is how long the message of an entry may take to its lane.
	publishPatience = 5 * time.Second
	// graceWatched is how long somebody who is kept waiting by an entry that stands for nothing looks at it before taking it over.
	graceWatched = 3 * publishPatience
	// graceAge is the age from which it is taken over at once; clocks may differ by most of it.
	graceAge = 12 * publishPatience
)

// wait is what a publisher has seen of an entry that keeps it waiting.
type wait struct {
	version int64
	since   time.Time
}

// over says whether an entry that stands for nothing has done so for too long. now is on the store's clock.
func (w *wait) over(e *entry, now time.Time) bool {
	if w.version != e.record.Version {
		w.version, w.since = e.record.Version, time.Now()
	}
	return now.Sub(e.record.Updated) >= graceAge || time.Since(w.since) >= graceWatched
}
