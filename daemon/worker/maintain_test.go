package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// expiring is a broker with much to delete: each slice takes a second.
type expiring struct {
	stem.Broker
	slices int
	fails  int // the slice that fails; 0: none
	runs   func() int
	before []int // how many tasks had run when each slice began
}

func (e *expiring) Maintain(context.Context) (stem.Maintained, error) {
	e.before = append(e.before, e.runs())
	time.Sleep(time.Second)
	if e.fails == len(e.before) {
		return stem.Maintained{}, errors.New("disk on fire")
	}
	return stem.Maintained{Results: 2, Groups: 1, More: len(e.before) < e.slices}, nil
}

func TestTasksRunBetweenTheSlicesOfDeletingAndWhatIsDeletedIsCounted(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("t")
		broker := &expiring{Broker: r.store.Broker, slices: 20, runs: func() int { return len(run.runs()) }}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p")})
		r.pass(maintainEvery)
		for i := range 40 {
			r.put(fmt.Sprint(i), "t")
			r.pass(time.Second)
		}
		r.pass(maintainEvery / 2)
		if len(broker.before) != 20 {
			t.Fatalf("%d slices, want 20", len(broker.before))
		}
		for i := 1; i < len(broker.before); i++ {
			if broker.before[i] <= broker.before[i-1] {
				t.Errorf("no task ran between slices %d and %d", i-1, i)
			}
		}
		want := stem.Maintained{Results: 40, Groups: 20}
		if got := d.Stats().Deleted; got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
		if beats, err := stem.Heartbeats(r.ctx, r.store); err != nil || len(beats) != 1 || beats[0].Extras.Deleted != want {
			t.Errorf("the heartbeat says %+v, %v", beats, err)
		}
		r.says("deleted what has expired: results=40 dead_letters=0 records=0 ids=0 groups=20 events=0")
		r.stop(d, Warm)
	})
}

func TestDeletingThatFailsIsSaidAndTriedAgainAndWhatWasDeletedBeforeIsCounted(t *testing.T) {
	virtually(t, func(r *rig) {
		run := newRunner("t")
		broker := &expiring{Broker: r.store.Broker, slices: 4, fails: 3, runs: func() int { return 0 }}
		r.store.Broker = broker
		d := r.start([]Pool{run.pool("p")})
		r.pass(maintainEvery + 10*time.Second)
		r.says("could not delete what has expired: error=\"disk on fire\"")
		if got := d.Stats().Deleted.Results; got != 4 {
			t.Errorf("counted %d", got)
		}
		r.pass(maintainEvery)
		if got := d.Stats().Deleted.Results; got != 6 {
			t.Errorf("counted %d after the next round", got)
		}
		r.stop(d, Warm)
	})
}
