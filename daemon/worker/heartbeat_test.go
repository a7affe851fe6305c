package worker

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// unsaved are records that can not be written for a while.
type unsaved struct {
	stem.Records
	down atomic.Bool
}

func (u *unsaved) Save(ctx context.Context, writes ...stem.RecordWrite) ([]int64, error) {
	if u.down.Load() {
		return nil, errDown
	}
	return u.Records.Save(ctx, writes...)
}

func TestADaemonIsListedAgainSoonAfterItsStoreIsBack(t *testing.T) {
	virtually(t, func(r *rig) {
		records := &unsaved{Records: r.store.Records}
		r.store.Records = records
		d := r.start([]Pool{newRunner("job").pool("p")})
		r.pass(time.Second)
		records.down.Store(true)
		r.pass(2 * time.Minute)
		if beats, err := stem.Heartbeats(r.ctx, r.store); err != nil || len(beats) != 0 {
			t.Fatalf("listed after two minutes without a heartbeat: %v, %v", beats, err)
		}
		records.down.Store(false)
		r.pass(2 * retryLast)
		if beats, err := stem.Heartbeats(r.ctx, r.store); err != nil || len(beats) != 1 {
			t.Errorf("%v after the store is back the daemons are %v, %v", 2*retryLast, beats, err)
		}
		r.says("heartbeat: works again after")
		r.stop(d, Warm)
	})
}

func TestAHeartbeatSaysWhatTheStoreIsNowAndNotWhatItWasAtTheStart(t *testing.T) {
	virtually(t, func(r *rig) {
		var now atomic.Pointer[[]string]
		now.Store(&[]string{"nearly full"})
		d := r.start([]Pool{newRunner("job").pool("p")}, func(c *Config) { c.Warnings = func() []string { return *now.Load() } })
		r.pass(time.Second)
		for _, want := range []int{1, 0} {
			if got := d.Heartbeat().Warnings; len(got) != want {
				t.Errorf("warnings are %q, want %d", got, want)
			}
			now.Store(new([]string))
		}
		r.stop(d, Warm)
	})
}

const isGone = "the heartbeat of this daemon is gone before its time"

func TestADaemonSaysOnceThatTheStoreHasLostWhatItHeld(t *testing.T) {
	virtually(t, func(r *rig) {
		d := r.start([]Pool{newRunner("job").pool("p")})
		r.pass(time.Minute)
		if strings.Contains(r.logged(), isGone) {
			t.Errorf("nothing is lost, and the log says:\n%s", r.logged())
		}
		flush := stem.RecordWrite{Op: stem.DeleteRecord, Record: stem.Record{RecordRef: stem.RecordRef{Kind: stem.KindHeartbeat, ID: "node"}}}
		if _, err := r.store.Records.Save(r.ctx, flush); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Minute)
		if n := strings.Count(r.logged(), isGone); n != 1 {
			t.Errorf("said %d times:\n%s", n, r.logged())
		}
		if beats, err := stem.Heartbeats(r.ctx, r.store); err != nil || len(beats) != 1 {
			t.Errorf("listed are %v, %v", beats, err)
		}
		r.stop(d, Warm)
	})
}

func TestAHeartbeatThatExpiredIsNotTakenForLost(t *testing.T) {
	virtually(t, func(r *rig) {
		records := &unsaved{Records: r.store.Records}
		r.store.Records = records
		d := r.start([]Pool{newRunner("job").pool("p")})
		r.pass(time.Minute)
		records.down.Store(true)
		r.pass(2 * time.Minute)
		records.down.Store(false)
		r.pass(time.Minute)
		if strings.Contains(r.logged(), isGone) {
			t.Errorf("the log says:\n%s", r.logged())
		}
		r.stop(d, Warm)
	})
}

func TestAGenerationThatSignsOffIsNoLossForTheNextOne(t *testing.T) {
	virtually(t, func(r *rig) {
		for offset := range 10 { // whoever is the last to write before it
			var alone atomic.Bool
			begin, config := make(chan struct{}), func(c *Config) { c.Alone = alone.Load }
			first := r.start([]Pool{newRunner("job").pool("p")}, config)
			r.pass(time.Minute + time.Duration(offset)*time.Second)
			second := r.start([]Pool{newRunner("job").pool("p")}, config, func(c *Config) { c.Begin = begin })
			r.pass(time.Minute)
			close(begin)
			r.stop(first, Warm)
			alone.Store(true)
			r.pass(time.Minute)
			if strings.Contains(r.logged(), isGone) {
				t.Fatalf("the log says:\n%s", r.logged())
			}
			r.stop(second, Warm)
		}
	})
}
