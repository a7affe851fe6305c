package worker

import (
	"context"
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
