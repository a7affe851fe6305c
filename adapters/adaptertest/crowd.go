package adaptertest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
)

// crowdCases are what has to hold when several handles, each as of another process, do the same thing at the same time.
func crowdCases() []testCase {
	return needing(sibling, []testCase{
		{rule: "claimers of several handles share the tasks, each by priority and then in order of arrival", run: func(r *rig) {
			const tasks = 120
			var msgs []stem.Message
			for i := range tasks {
				p := i % 3
				msgs = append(msgs, r.msg(fmt.Sprintf("%d-%03d", 9-p, i), priority(p)))
			}
			r.put(msgs...)
			var mu sync.Mutex
			var all []string
			r.crowd(3, func(i int, s stem.Store) error {
				c := r.ask(4)
				c.Owner = fmt.Sprintf("node-%d/boot", i)
				var mine []string
				for {
					ds, err := s.Broker.Claim(r.ctx, c)
					if err != nil {
						return err
					}
					if len(ds) == 0 {
						break
					}
					mine = append(mine, ids(ds)...)
				}
				if !slices.IsSorted(mine) {
					return fmt.Errorf("got %v", mine)
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, mine...)
				return nil
			})
			slices.Sort(all)
			if len(all) != tasks || len(slices.Compact(all)) != tasks {
				r.Errorf("%d claims of %d tasks", len(all), tasks)
			}
		}},
		{rule: "last members that end at several handles publish one callback", run: func(r *rig) {
			names := []string{"m0", "m1", "m2", "m3", "m4", "m5"}
			r.openOf(true, names...)
			r.add(names...)
			ds := r.claims(names...)
			r.crowd(3, func(i int, s stem.Store) error {
				for _, d := range ds[2*i : 2*i+2] {
					errs, err := s.Broker.Settle(r.ctx, stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Tally: &stem.Tally{Group: "g", State: stem.Succeeded}})
					if err = errors.Join(append(errs, err)...); err != nil {
						return err
					}
				}
				return nil
			})
			r.called(true)
			r.groupIs(stem.GroupFired)
		}},
		{rule: "of owners at several handles one acquires a lock", run: func(r *rig) {
			var winners atomic.Int32
			r.crowd(4, func(i int, s stem.Store) error {
				_, ok, err := stem.NewLocks(s.Records).Acquire(r.ctx, "lock", fmt.Sprintf("owner-%d", i), time.Hour)
				if ok {
					winners.Add(1)
				}
				return err
			})
			if n := winners.Load(); n != 1 {
				r.Errorf("%d acquired it", n)
			}
		}},
		{rule: "of publishers at several handles one gets an id and one a unique key", run: func(r *rig) {
			states := make([]stem.PublishState, 4)
			r.crowd(4, func(i int, s stem.Store) error {
				out, err := s.Broker.Publish(r.ctx, r.msg("same"), r.msg(fmt.Sprintf("u%d", i), key(time.Hour)))
				if err != nil {
					return err
				}
				states[i] = out[1].State
				return errors.Join(out[0].Err, out[1].Err)
			})
			ds := r.claim(10)
			if n := len(ds); n != 2 {
				r.Errorf("claimed %v", ids(ds))
			}
			slices.Sort(states)
			if !slices.Equal(states, []stem.PublishState{stem.Accepted, stem.Duplicate, stem.Duplicate, stem.Duplicate}) {
				r.Errorf("publishing one key gave %v", states)
			}
		}},
		{rule: "a broadcast of one handle reaches the subscribers of the others", run: func(r *rig) {
			there := r.sibling()
			s := r.subscriber(stem.NewClient(there), "news", "w1")
			_, n, err := stem.NewClient(r.store).Broadcast(r.ctx, "news", task, nil)
			r.noError(err)
			if n != 1 {
				r.Errorf("reached %d", n)
			}
			r.store = there
			r.one(s.Queue())
		}},
		{rule: "a hint of one handle reaches the subscribers of another", live: true, needs: func(c Capabilities) bool { return c.Bus && c.Sibling != nil }, run: func(r *rig) {
			there := r.sibling()
			ch := r.subscribe(r.ctx, "topic")
			r.noError(there.Bus.Send(r.ctx, "topic", []byte("one")))
			r.hint(ch, "one")
		}},
		{rule: "a wait at one handle ends with the result that another settles", live: true, run: func(r *rig) {
			r.add("a")
			done := make(chan error, 1)
			handle := stem.NewClient(r.store).Handle("a")
			go func() {
				s, err := handle.Wait(r.ctx)
				if err == nil && (s.State != stem.Succeeded || string(s.Result) != `"ok"`) {
					err = fmt.Errorf("waited for %+v", s)
				}
				done <- err
			}()
			r.store = r.sibling()
			d := r.one()
			w := result(d, stem.Succeeded)
			w.Status.Result = []byte(`"ok"`)
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done, Result: w})
			select {
			case err := <-done:
				r.noError(err)
			case <-time.After(patience):
				r.Error("the wait has not ended")
			}
		}},
	})
}

// crowd lets n handles do the same at once.
func (r *rig) crowd(n int, do func(i int, s stem.Store) error) {
	r.Helper()
	stores := []stem.Store{r.store}
	for len(stores) < n {
		stores = append(stores, r.sibling())
	}
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			if err := do(i, s); err != nil {
				r.Errorf("handle %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}
