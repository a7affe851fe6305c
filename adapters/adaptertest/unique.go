package adaptertest

import (
	"fmt"
	"sync"
	"time"

	"github.com/stemd/stem"
)

// key gives a message the unique key "key", reserved for d beyond its due time or lease.
func key(d time.Duration) func(*stem.Message) {
	return func(m *stem.Message) { m.Unique = stem.Reservation{Key: "key", For: d} }
}

func uniqueCases() []testCase {
	return append(uniqueEndCases(), []testCase{
		{rule: "while a task holds a unique key another one of that key is a duplicate of it", run: func(r *rig) {
			r.put(r.msg("a", key(time.Hour)))
			r.standsFor("a", r.msg("b", key(time.Hour), generated, in("other")))
			r.one()
			r.standsFor("a", r.msg("b", key(time.Hour)))
			r.put(r.msg("c"))
			if s := r.status("b"); s != nil {
				r.Errorf("status of the duplicate is %+v", s)
			}
		}},
		{rule: "a unique key is carried with the task", run: func(r *rig) {
			r.put(r.msg("a", key(time.Hour)))
			if got := r.one().Unique; got != (stem.Reservation{Key: "key", For: time.Hour}) {
				r.Errorf("claimed with %+v", got)
			}
		}},
		{rule: "a live id is a duplicate of itself, whoever holds the key", run: func(r *rig) {
			r.put(r.msg("a"), r.msg("b", key(time.Hour)))
			r.standsFor("a", r.msg("a", key(time.Hour)))
		}},
		{rule: "a unique key twice in one batch is accepted once", run: func(r *rig) {
			out := r.publish(r.msg("a", key(time.Hour)), r.msg("b", key(time.Hour)))
			if out[0].State != stem.Accepted || out[1].State != stem.Duplicate || out[1].ID != "a" {
				r.Errorf("got %+v", out)
			}
		}},
		{rule: "a unique key is kept over every settlement that gives the task back, and over an expired lease", run: func(r *rig) {
			r.put(r.msg("a", key(time.Hour)))
			lane := queue
			for _, s := range []stem.Settlement{
				{Kind: stem.Retry}, {Kind: stem.Hold}, {Kind: stem.Release}, {Kind: stem.AckEarly}, {Kind: stem.Move, Queue: "other"}, {Kind: stem.Park},
			} {
				if s.Kind == stem.AckEarly {
					continue // it can not be given back after it
				}
				s.Receipt = r.one(lane).Receipt
				r.settle(s)
				r.standsFor("a", r.msg("b", key(time.Hour)))
				switch s.Kind {
				case stem.Move:
					lane = "other"
				case stem.Park:
					lane = stem.ParkedPrefix + task
				}
			}
			c := r.ask(1, lane)
			c.Lease = r.lease
			r.claimWith(c)
			r.pass(r.lease)
			r.standsFor("a", r.msg("b", key(time.Hour)))
			r.one(lane)
			r.standsFor("a", r.msg("b", key(time.Hour)))
		}},
		{rule: "a key that nobody renews lapses, and the task that held it still runs", run: func(r *rig) {
			r.put(r.msg("a", key(r.span)))
			r.pass(r.span)
			r.put(r.msg("b", key(time.Hour)))
			ds := r.claims("a", "b")
			r.standsFor("b", r.msg("c", key(time.Hour)))
			r.settle(stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Done})
			r.standsFor("b", r.msg("c", key(time.Hour)))
		}},
		{rule: "a lapsed key that is free is taken anew when its task is claimed", run: func(r *rig) {
			r.put(r.msg("a", key(r.span)))
			r.pass(r.span)
			r.one()
			r.standsFor("a", r.msg("b", key(time.Hour)))
		}},
		{rule: "a delayed task holds its key until it is due and beyond", run: func(r *rig) {
			r.put(r.msg("a", key(time.Minute), r.delayed(2*r.span)))
			r.pass(r.span)
			r.standsFor("a", r.msg("b", key(time.Hour)))
		}},
		{rule: "Extend renews the key", needs: settable, run: func(r *rig) {
			r.put(r.msg("a", key(time.Minute)))
			d := r.one()
			r.extend(stem.Lease{Receipt: d.Receipt, For: time.Hour})
			r.pass(time.Hour)
			r.standsFor("a", r.msg("b", key(time.Hour)))
			r.pass(time.Minute)
			r.put(r.msg("b", key(time.Hour)))
		}},
		{rule: "without a length a key is reserved for the default", needs: settable, run: func(r *rig) {
			r.put(r.msg("a", key(0)))
			r.pass(stem.DefaultUnique - time.Second)
			r.standsFor("a", r.msg("b", key(0)))
			r.pass(time.Second)
			r.put(r.msg("b", key(0)))
		}},
		{rule: "a stale settlement does not give up the key", run: func(r *rig) {
			r.put(r.msg("a", key(time.Hour)))
			stale := r.take(owner1)
			r.pass(r.lease)
			r.one()
			r.isError(r.trySettle(stem.Settlement{Receipt: stale.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
			r.standsFor("a", r.msg("b", key(time.Hour)))
		}},
		{rule: "a follow-up whose key is taken is no error and is not published", run: func(r *rig) {
			r.put(r.msg("a"), r.msg("holder", key(time.Hour)))
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done, Then: []stem.Message{r.msg("b", key(time.Hour))}})
			r.claims("holder")
		}},
		{rule: "of concurrent publishers of one key one is accepted and the others learn its id", run: func(r *rig) {
			const publishers = 8
			out := make([]stem.Published, publishers)
			var wg sync.WaitGroup
			for i := range publishers {
				m := r.msg(fmt.Sprintf("t%d", i), key(time.Hour), generated)
				wg.Go(func() {
					got, err := r.store.Broker.Publish(r.ctx, m)
					if err != nil {
						r.Error(err)
						return
					}
					out[i] = got[0]
				})
			}
			wg.Wait()
			ds := r.claim(publishers)
			if len(ds) != 1 {
				r.Fatalf("claimed %v", ids(ds))
			}
			for i, p := range out {
				if p.ID != ds[0].ID || (p.State == stem.Accepted) != (fmt.Sprintf("t%d", i) == ds[0].ID) {
					r.Errorf("publisher %d got %+v", i, p)
				}
			}
		}},
		{rule: "a key is as long as a name, no longer", run: func(r *rig) {
			m := r.msg("a")
			m.Unique.Key = string(make([]byte, stem.MaxName+1))
			if p := r.publish(m)[0]; p.State != stem.Rejected || p.Err == nil {
				r.Errorf("got %+v", p)
			}
		}},
		{rule: "unique keys of two namespaces are apart", needs: sibling, run: func(r *rig) {
			r.put(r.msg("a", key(time.Hour)))
			r.store = r.sibling(stem.Namespace("green"))
			r.put(r.msg("b", key(time.Hour)))
		}},
	}...)
}

// uniqueEndCases say that every end of a task gives its key up.
func uniqueEndCases() []testCase {
	free := func(r *rig) { r.Helper(); r.put(r.msg("next", key(time.Hour))) }
	return []testCase{
		{rule: "Done gives the unique key up", run: func(r *rig) {
			r.put(r.msg("a", key(time.Hour)))
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Done})
			free(r)
		}},
		{rule: "Dead gives the unique key up", run: func(r *rig) {
			r.put(r.msg("a", key(time.Hour)))
			r.settle(stem.Settlement{Receipt: r.one().Receipt, Kind: stem.Dead})
			free(r)
		}},
		{rule: "the end of an early acknowledged task gives the unique key up", run: func(r *rig) {
			r.put(r.msg("a", key(time.Hour)))
			d := r.one()
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.AckEarly})
			r.standsFor("a", r.msg("b", key(time.Hour)))
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
			free(r)
		}},
		{rule: "Purge gives the unique key up", needs: inspector, run: func(r *rig) {
			r.put(r.msg("a", key(time.Hour)))
			_, err := r.inspector().Purge(r.ctx, queue)
			r.noError(err)
			free(r)
		}},
		{rule: "what becomes of a dead letter does not touch the key that a later task took", needs: inspector, run: func(r *rig) {
			r.die("a", key(time.Hour))
			r.put(r.msg("b", key(100*r.span)))
			_, err := r.inspector().PurgeDeadLetters(r.ctx, stem.DeadLetterQuery{})
			r.noError(err)
			r.standsFor("b", r.msg("c", key(time.Hour)))
			if !r.caps.Maintainer {
				return
			}
			r.die("old", in("own"), func(m *stem.Message) { m.Unique = stem.Reservation{Key: "another", For: time.Hour} })
			r.pass(r.dead)
			if m := r.maintain(); m.DeadLetters != 1 {
				r.Errorf("deleted %+v", m)
			}
			r.put(r.msg("d", func(m *stem.Message) { m.Unique = stem.Reservation{Key: "another", For: time.Hour} }))
		}},
		{rule: "the poisoned and the cancelled give their unique keys up", run: func(r *rig) {
			for _, s := range []stem.Settlement{{Kind: stem.Dead, Reason: stem.ReasonPoison}, {Kind: stem.Done, Result: &stem.StatusWrite{Status: stem.Status{State: stem.Cancelled}}}} {
				r.put(r.msg("a", generated, key(time.Hour)))
				s.Receipt = r.one().Receipt
				if s.Result != nil {
					s.Result.Status.ID = "a"
				}
				r.settle(s)
			}
			free(r)
		}},
		{rule: "Replay takes the key again", needs: inspector, run: func(r *rig) {
			r.die("a", key(time.Hour))
			r.inOrder(r.replay(stem.Replay{}), "a")
			r.standsFor("a", r.msg("b", key(time.Hour)))
		}},
		{rule: "Replay of a dead letter whose key is taken says so, and the letter stays", needs: inspector, run: func(r *rig) {
			r.die("a", key(time.Hour))
			r.put(r.msg("b", key(time.Hour)))
			out, err := r.inspector().Replay(r.ctx, stem.Replay{})
			r.noError(err)
			if len(out) != 1 || out[0].Err == nil {
				r.Errorf("replayed %+v", out)
			}
			r.inOrder(letterIDs(r.letters(stem.DeadLetterQuery{})), "a")
		}},
	}
}

// standsFor says that publishing m is answered as a duplicate of another task.
func (r *rig) standsFor(id string, m stem.Message) {
	r.Helper()
	if p := r.publish(m)[0]; p.State != stem.Duplicate || p.ID != id {
		r.Fatalf("publishing %s gave %+v, want a duplicate of %s", m.ID, p, id)
	}
}
