package redis_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// kept is a status that ended, at an epoch.
func kept(id string, epoch stem.Epoch) stem.StatusWrite {
	return stem.StatusWrite{Status: stem.Status{ID: id, Name: "test.task", Queue: queue, State: stem.Succeeded, Epoch: epoch}}
}

func (f *faults) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// statusOf is what is known of a task, seen undisturbed.
func (f *faults) statusOf(id string) *stem.Status {
	f.Helper()
	s, err := f.calm.Results.Load(f.Context(), id)
	f.must(err)
	return s[0]
}

func TestResultsWhoseSaveIsCutAnywhereAreAllThereOrNoneAndARepetitionOverwritesNoLaterOne(t *testing.T) {
	f := newFaults(t)
	save := func(id string) error {
		return f.store.Results.Save(t.Context(), kept(id, 1), kept(id+".b", 1))
	}
	f.everywhere(func(string) {}, save, func(id string, cut bool) {
		a, b := f.statusOf(id), f.statusOf(id+".b")
		if (a == nil) != (b == nil) || a == nil && !cut {
			t.Fatalf("%s: %+v and %+v", id, a, b)
		}
		if !cut {
			return
		}
		f.must(f.calm.Results.Save(t.Context(), kept(id, 2))) // somebody else claimed the task meanwhile
		f.must(save(id))
		if a, b := f.statusOf(id), f.statusOf(id+".b"); a.Epoch != 2 || b == nil || b.Epoch != 1 || b.State != stem.Succeeded {
			t.Fatalf("%s: %+v and %+v", id, a, b)
		}
	})
}

func TestAnExpiryCutAnywhereEndsWhatItNamesAndNothingElse(t *testing.T) {
	f := newFaults(t)
	expire := func(id string) error { return f.store.Results.Expire(t.Context(), 0, id, id+".group") }
	group := func(id string) *stem.GroupStatus {
		g, err := f.calm.Results.LoadGroups(t.Context(), id)
		f.must(err)
		return g[0]
	}
	f.everywhere(func(id string) {
		f.must(f.calm.Results.Save(t.Context(), kept(id, 1), kept(id+".stays", 1)))
		f.must(f.calm.Results.OpenGroups(t.Context(), stem.Group{ID: id + ".group", Members: []string{id}}))
	}, expire, func(id string, cut bool) {
		if s, g := f.statusOf(id), group(id+".group"); (s == nil) != (g == nil) || s != nil && !cut {
			t.Fatalf("%+v and %+v", s, g)
		}
		if cut {
			f.must(expire(id))
		}
		if s, g := f.statusOf(id), group(id+".group"); s != nil || g != nil || f.statusOf(id+".stays") == nil {
			t.Fatalf("%s is %+v, its group %+v, the other %+v", id, s, g, f.statusOf(id+".stays"))
		}
	})
}

// TestWhatIsReadOverACutConnectionIsWholeOrAnError reads the same again and again: an answer that was cut is never taken for a shorter
// one.
func TestWhatIsReadOverACutConnectionIsWholeOrAnError(t *testing.T) {
	f := newFaults(t)
	const n = 2
	var ids []string
	var refs []stem.RecordRef
	for i := range n {
		id := fmt.Sprint("read-", i)
		ids, refs = append(ids, id), append(refs, stem.RecordRef{Kind: "k", ID: id})
		f.must(f.calm.Results.Save(t.Context(), kept(id, 1)))
		_, err := f.calm.Records.Save(t.Context(), stem.RecordWrite{Record: stem.Record{RecordRef: refs[i], Body: []byte("body"), Due: f.clock}})
		f.must(err)
		f.must(f.calm.Results.OpenGroups(t.Context(), stem.Group{ID: id, Members: []string{id}}))
	}
	f.must(f.publish(f.calm, "waits"))
	f.must(f.publish(f.calm, "runs"))
	for name, read := range map[string]func() (int, error){
		"results": func() (found int, err error) {
			all, err := f.store.Results.Load(t.Context(), ids...)
			for _, s := range all {
				if s != nil && s.State == stem.Succeeded {
					found++
				}
			}
			return found, err
		},
		"list of results": func() (int, error) {
			page, err := f.store.Results.List(t.Context(), stem.StatusQuery{State: stem.Succeeded})
			return len(page.Items), err
		},
		"records": func() (found int, err error) {
			all, err := f.store.Records.Load(t.Context(), refs...)
			for _, r := range all {
				if r != nil && string(r.Body) == "body" {
					found++
				}
			}
			return found, err
		},
		"list of records": func() (int, error) {
			page, err := f.store.Records.List(t.Context(), stem.RecordQuery{Kind: "k"})
			return len(page.Items), err
		},
		"due records": func() (int, error) {
			page, err := f.store.Records.List(t.Context(), stem.RecordQuery{Kind: "k", DueBefore: f.clock})
			return len(page.Items), err
		},
		"groups": func() (found int, err error) {
			all, err := f.store.Results.LoadGroups(t.Context(), ids...)
			for _, g := range all {
				if g != nil && len(g.Members) == 1 {
					found++
				}
			}
			return found, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.T = t
			f.everywhere(func(string) {}, func(string) error {
				found, err := read()
				if err == nil && found != n {
					t.Fatalf("found %d of %d", found, n)
				}
				return err
			}, func(string, bool) {})
		})
	}
}

// TestARecordWhoseSaveIsCutAnywhereIsChangedOnce counts in a record, as whoever is fenced by its version does.
func TestARecordWhoseSaveIsCutAnywhereIsChangedOnce(t *testing.T) {
	f := newFaults(t)
	ref := stem.RecordRef{Kind: "k", Part: "p", ID: "counter"}
	load := func() *stem.Record {
		t.Helper()
		r, err := f.calm.Records.Load(t.Context(), ref)
		f.must(err)
		return r[0]
	}
	_, err := f.calm.Records.Save(t.Context(), stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte("0")}})
	f.must(err)
	counted := 0
	var present *stem.Record
	save := func(id string) error {
		_, err := f.store.Records.Save(t.Context(), stem.RecordWrite{
			Op: stem.ReplaceRecord, IfVersion: present.Version,
			Record: stem.Record{RecordRef: ref, Body: []byte(strconv.Itoa(counted + 1)), Tags: []string{id}},
		}, stem.RecordWrite{Op: stem.CreateRecord, Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", Part: "p", ID: id}}})
		return err
	}
	f.everywhere(func(string) { present = load() }, save, func(id string, cut bool) {
		if cut {
			if err := save(id); err != nil && !errors.Is(err, stem.ErrConflict) {
				t.Fatal(err)
			}
		}
		counted++
		other, err := f.calm.Records.Load(t.Context(), stem.RecordRef{Kind: "k", Part: "p", ID: id})
		f.must(err)
		r := load()
		if string(r.Body) != strconv.Itoa(counted) || r.Version <= present.Version || other[0] == nil {
			t.Fatalf("the record says %s at version %d, want %d; beside it %+v", r.Body, r.Version, counted, other[0])
		}
		tagged, err := f.calm.Records.List(t.Context(), stem.RecordQuery{Kind: "k", Tag: id})
		if f.must(err); len(tagged.Items) != 1 || tagged.Items[0].ID != ref.ID {
			t.Fatalf("by its tag one finds %+v", tagged.Items)
		}
		f.clock = f.clock.Add(time.Millisecond)
	})
}
