package redis_test

import (
	"testing"
	"time"

	"github.com/stemd/stem"
)

func (f *faults) look(store stem.Store) stem.Inspector { return store.Broker.(stem.Inspector) }

// put publishes tasks in one call, undisturbed: where tasks are in pages, in one page.
func (f *faults) put(ids ...string) {
	f.Helper()
	var msgs []stem.Message
	for _, id := range ids {
		msgs = append(msgs, message(f, id))
	}
	_, err := f.calm.Broker.Publish(f.Context(), msgs...)
	f.must(err)
}

// bury publishes a task and lets it die, undisturbed.
func (f *faults) bury(id string) {
	f.Helper()
	s := done(f.held(id))
	s.Kind, s.Reason, s.Result.Status.State = stem.Dead, stem.ReasonPermanent, stem.Failed
	f.must(f.settle(f.calm, s))
}

// letters says which of these are dead letters, and that there are no others.
func (f *faults) letters(ids ...string) (found int) {
	f.Helper()
	page, err := f.look(f.calm).DeadLetters(f.Context(), stem.DeadLetterQuery{})
	f.must(err)
	chosen, err := f.look(f.calm).DeadLetters(f.Context(), stem.DeadLetterQuery{IDs: ids})
	if f.must(err); len(page.Items) != len(chosen.Items) {
		f.Fatalf("%d dead letters, of which %d are %v", len(page.Items), len(chosen.Items), ids)
	}
	return len(chosen.Items)
}

func TestAPurgeCutAnywhereHasCancelledWhatIsGoneAndARepetitionTheRest(t *testing.T) {
	twice(t, func(t *testing.T, f *faults) {
		purge := func() (int, error) { return f.look(f.store).Purge(t.Context(), queue) }
		cancelled := func(ids []string) (n int) {
			for _, id := range ids {
				if s := f.statusOf(id); s.State == stem.Cancelled {
					n++
				}
			}
			return n
		}
		f.repeats = true
		f.everywhere(func(id string) { f.put(id, id+".b") }, func(string) error {
			_, err := purge()
			return err
		}, func(id string, cut bool) {
			ids := []string{id, id + ".b"}
			if cut {
				page, err := f.look(f.calm).Browse(t.Context(), stem.BrowseQuery{Queue: queue})
				if f.must(err); len(page.Items)+cancelled(ids) != len(ids) {
					t.Fatalf("%d wait, %d are cancelled", len(page.Items), cancelled(ids))
				}
				n, err := purge()
				if f.must(err); n != len(page.Items) {
					t.Fatalf("purged %d of %d", n, len(page.Items))
				}
			}
			if n := cancelled(ids); n != len(ids) {
				t.Fatalf("%d are cancelled", n)
			}
			f.nothing()
		})
	})
}

func TestDeadLettersWhosePurgeIsCutAnywhereAreGoneWhenItIsRepeated(t *testing.T) {
	f := newFaults(t)
	purge := func(id string) (int, error) {
		return f.look(f.store).PurgeDeadLetters(t.Context(), stem.DeadLetterQuery{IDs: []string{id, id + ".b"}})
	}
	f.repeats = true
	f.everywhere(func(id string) {
		f.bury(id)
		f.bury(id + ".b")
	}, func(id string) error {
		_, err := purge(id)
		return err
	}, func(id string, cut bool) {
		if cut {
			left := f.letters(id, id+".b")
			if n, err := purge(id); err != nil || n != left {
				t.Fatalf("purged %d of %d, %v", n, left, err)
			}
		}
		if n := f.letters(id, id+".b"); n != 0 {
			t.Fatalf("%d are left", n)
		}
	})
}

func TestAReplayCutAnywhereBringsATaskBackOnce(t *testing.T) {
	twice(t, func(t *testing.T, f *faults) {
		replay := func(id string) ([]stem.Replayed, error) {
			return f.look(f.store).Replay(t.Context(), stem.Replay{DeadLetterQuery: stem.DeadLetterQuery{IDs: []string{id}}})
		}
		f.repeats = true
		f.everywhere(f.bury, func(id string) error {
			out, err := replay(id)
			if len(out) > 0 && out[0].Err != nil {
				t.Fatalf("replayed %+v", out)
			}
			return err
		}, func(id string, cut bool) {
			if cut {
				left := f.letters(id)
				if out, err := replay(id); err != nil || len(out) != left || left > 0 && out[0].Err != nil {
					t.Fatalf("of %d letters: %+v, %v", left, out, err)
				}
			}
			if n := f.letters(id); n != 0 {
				t.Fatalf("%d letters are left", n)
			}
			d := f.claim(id)
			if d.State.Replays != 1 || d.State.Attempt != 0 {
				t.Fatalf("state %+v", d.State)
			}
			f.must(f.settle(f.calm, done(d)))
			f.ended(id)
			f.nothing()
		})
	})
}

func TestATakeoverCutAnywhereGivesEachTaskBackOnce(t *testing.T) {
	twice(t, func(t *testing.T, f *faults) {
		take := func() (int, error) { return f.store.Broker.(stem.Takeover).ReleaseOwner(t.Context(), owner) }
		claim := func(n int) []stem.Delivery {
			c := ask(time.Minute)
			c.Max = n + 1
			ds, err := f.calm.Broker.Claim(t.Context(), c)
			if f.must(err); len(ds) != n {
				t.Fatalf("claimed %d, want %d", len(ds), n)
			}
			return ds
		}
		f.repeats = true
		f.everywhere(func(id string) {
			f.put(id, id+".b")
			claim(2)
		}, func(string) error {
			_, err := take()
			return err
		}, func(id string, cut bool) {
			if cut {
				_, err := take()
				f.must(err)
			}
			for i, d := range claim(2) {
				if want := []string{id, id + ".b"}[i]; d.ID != want || d.State.Redeliveries != 1 || d.State.Attempt != 0 {
					t.Fatalf("%s is %+v, want %s", d.ID, d.State, want)
				}
				f.must(f.settle(f.calm, done(d)))
			}
			f.nothing()
		})
	})
}

func TestACancellationCutAnywhereIsRememberedWhenItIsRepeated(t *testing.T) {
	f := newFaults(t)
	cancel := func(id string) error {
		return stem.NewClient(f.store).Cancel(t.Context(), id, stem.CancelOptions{Reason: "not needed"})
	}
	f.patient, f.repeats = true, true // of the hint that follows it nothing depends
	f.everywhere(func(id string) { f.put(id) }, cancel, func(id string, cut bool) {
		if cut {
			f.must(cancel(id))
		}
		r, err := f.calm.Records.Load(t.Context(), stem.RecordRef{Kind: stem.KindRevocation, ID: id})
		if f.must(err); r[0] == nil {
			t.Fatalf("of %s nothing is known", id)
		}
		f.must(f.settle(f.calm, done(f.claim(id))))
	})
}

// TestMaintenanceCutAnywhereDeletesWhatIsOverAndNothingElse has one of everything expire.
func TestMaintenanceCutAnywhereDeletesWhatIsOverAndNothingElse(t *testing.T) {
	f := newFaults(t)
	maintain := func(store stem.Store) (stem.Maintained, error) {
		return store.Broker.(stem.Maintainer).Maintain(t.Context())
	}
	f.repeats = true
	f.everywhere(func(id string) {
		over := kept(id+".over", 1)
		over.TTL = time.Minute
		f.must(f.calm.Results.Save(t.Context(), over))
		f.must(f.calm.Results.OpenGroups(t.Context(), stem.Group{ID: id + ".group", Members: []string{id}}))
		f.must(f.calm.Results.Expire(t.Context(), time.Minute, id+".group"))
		_, err := f.calm.Records.Save(t.Context(), stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: id}}, TTL: time.Minute})
		f.must(err)
		f.bury(id + ".dead")
		f.clock = f.clock.Add(stem.DefaultDeadTTL + time.Hour)
		stays := kept(id+".stays", 1)
		f.must(f.calm.Results.Save(t.Context(), stays))
		f.put(id + ".waits")
	}, func(string) error {
		_, err := maintain(f.store)
		return err
	}, func(id string, cut bool) {
		if cut {
			_, err := maintain(f.store)
			f.must(err)
		}
		if again, err := maintain(f.calm); err != nil || again != (stem.Maintained{}) {
			t.Fatalf("left were %+v, %v", again, err)
		}
		if n := f.letters(id + ".dead"); n != 0 || f.statusOf(id+".over") != nil || f.statusOf(id+".stays") == nil {
			t.Fatalf("%d letters, %+v", n, f.statusOf(id+".stays"))
		}
		f.must(f.settle(f.calm, done(f.claim(id+".waits"))))
	})
}
