package adapters_test

import (
	"testing"
	"time"

	"github.com/stemd/stem"
)

// maintain has a process maintain the store, twice, and look again when it is put off.
func (a *archipelago) maintain(s stem.Store) {
	a.Helper()
	for range 3 {
		for more := true; more; {
			m, err := s.Broker.(stem.Maintainer).Maintain(a.Context())
			if err != nil {
				a.Fatal(err)
			}
			more = m.More
		}
		a.now = a.now.Add(3 * time.Minute)
	}
}

// mover moves the task of queue q to r, with something of its own, as far as it comes.
func mover(a *archipelago, s stem.Store) {
	ds, err := s.Broker.Claim(a.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot"})
	if err == nil && len(ds) == 1 {
		_ = a.settle(s, stem.Settlement{Receipt: ds[0].Receipt, Kind: stem.Move, Queue: "r", State: &stem.State{Home: "q", Attempt: 3}})
	}
}

// eachID calls f for a task with a chosen id and one with a generated id, both with a unique key.
func eachID(t *testing.T, f func(t *testing.T, before func(a *archipelago, s stem.Store))) {
	for name, generated := range map[string]bool{"a chosen id": false, "a generated id": true} {
		t.Run(name, func(t *testing.T) {
			f(t, func(a *archipelago, s stem.Store) {
				m := a.in("q", "a", "k")
				m.GeneratedID = generated
				a.publish(s, m)
			})
		})
	}
}

// The mover dies at any moment; nobody works on the queue that the task leaves.
func TestAMoveWhoseMoverDiedIsFinishedByMaintenance(t *testing.T) {
	eachID(t, func(t *testing.T, before func(a *archipelago, s stem.Store)) {
		deaths(t, 5, before, mover, func(a *archipelago, s stem.Store) {
			runs := a.claim(s, "r")
			a.end(s, runs...)
			a.pass()
			a.maintain(s)
			ds := a.claim(s, "r")
			a.end(s, ds...)
			left := a.claim(s, "q")
			if runs = append(runs, ds...); len(left) > 0 && (len(runs) > 0 || left[0].State.Home != "") {
				t.Errorf("ran %v, and in the queue that it left is %v", runs, left)
			}
			if len(runs)+len(left) != 1 {
				t.Errorf("ran %v, left is %v", runs, left)
			}
			a.end(s, left...)
			if got := a.state(s, "a"); got != stem.Succeeded {
				t.Errorf("the task is %q", got)
			}
			if p := a.publish(s, a.in("x", "b", "k")); p.State != stem.Accepted {
				t.Errorf("after the end the key gave %+v", p)
			}
		})
	})
}

// The mover dies at any moment, the task runs where it was to go if it came there, and then everything stands still for months.
func TestNoMoveIsTooOldToBeFinished(t *testing.T) {
	for name, first := range map[string]func(a *archipelago, s stem.Store){
		"claimed first":    func(*archipelago, stem.Store) {},
		"maintained first": (*archipelago).maintain,
	} {
		t.Run(name, func(t *testing.T) {
			eachID(t, func(t *testing.T, before func(a *archipelago, s stem.Store)) {
				deaths(t, 5, before, mover, func(a *archipelago, s stem.Store) {
					runs := a.claim(s, "r")
					a.end(s, runs...)
					a.now = a.now.Add(100 * 24 * time.Hour)
					first(a, s)
					for range 2 {
						ds := a.claim(s, "q", "r")
						runs = append(runs, ds...)
						a.end(s, ds...)
					}
					a.maintain(s)
					ds := a.claim(s, "q", "r")
					if runs = append(runs, ds...); len(runs) != 1 {
						t.Errorf("ran %v", runs)
					}
				})
			})
		})
	}
}

// A process that mends dies at any moment, and another one goes on.
func TestMaintenanceThatDiesWhileItFinishesAMoveLosesNothingAndDoesNothingTwice(t *testing.T) {
	for dieAt := 7; dieAt <= 10; dieAt++ { // the mover, from where it has noted what it is about to do
		deaths(t, 3, func(a *archipelago, s stem.Store) {
			a.publish(s, a.in("q", "a", "k"))
			mover(a, a.as(&process{dieAt: dieAt}))
			a.pass()
		}, func(a *archipelago, s stem.Store) {
			for range 3 {
				_, _ = s.Broker.(stem.Maintainer).Maintain(a.Context())
				a.now = a.now.Add(3 * time.Minute)
			}
		}, func(a *archipelago, s stem.Store) {
			a.maintain(s)
			ds := a.claim(s, "q", "r")
			a.end(s, ds...)
			a.now = a.now.Add(48 * time.Hour)
			a.maintain(s)
			if ds = append(ds, a.claim(s, "q", "r")...); len(ds) != 1 {
				t.Errorf("ran %v", ds)
			}
		})
	}
}

// The task comes back into another queue before its first mover has left.
func TestNothingIsKeptOfAMoveThatIsOver(t *testing.T) {
	a := newArchipelago(t)
	s := a.as(&process{})
	at := "q"
	a.publish(s, a.in(at, "a", "k"))
	for _, to := range []string{"r", "q", "r", "q", "r"} {
		if err := a.settle(s, stem.Settlement{Receipt: a.claim(s, at)[0].Receipt, Kind: stem.Move, Queue: to}); err != nil {
			t.Fatal(err)
		}
		at = to
	}
	a.end(s, a.claim(s, at)...)
	a.maintain(s)
	a.now = a.now.Add(48 * time.Hour)
	a.maintain(s)
	page, err := a.directory.Records.List(t.Context(), stem.RecordQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Items {
		if r.Kind != "lane" {
			t.Errorf("left is %s %q", r.Kind, r.Part)
		}
	}
}
