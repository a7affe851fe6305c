package redis_test

import (
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// A task may report its progress each second for days: what is kept of when its status expires does not grow with that.
func TestAStatusThatIsSavedAgainAndAgainLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := open(t, server.URL(), func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	const saves = 500
	for i := range saves {
		now = now.Add(time.Second)
		w := stem.StatusWrite{TTL: time.Hour, Status: stem.Status{ID: "task", Name: "t", Epoch: 1, State: stem.Running, Attempt: i}}
		if err := store.Results.Save(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := server.Client.LLen(t.Context(), "{stem}:lapsing").Result(); err != nil || n > 1 {
		t.Errorf("one status has %d entries in the list of what expires, %v", n, err)
	}
	for _, step := range []struct {
		pass time.Duration
		want bool
	}{{time.Hour - time.Second, true}, {2 * time.Second, false}} {
		now = now.Add(step.pass)
		if _, err := store.Broker.(stem.Maintainer).Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := server.Client.HLen(t.Context(), "{stem}:results").Result(); err != nil || (n == 1) != step.want {
			t.Errorf("%d statuses are kept %v after the last was saved, %v", n, now, err)
		}
	}
	left, err := server.Client.Exists(t.Context(), "{stem}:lapsing", "{stem}:lapses", "{stem}:recent").Result()
	if err != nil || left > 0 {
		t.Errorf("%d keys are left, %v", left, err)
	}
}

// A result that is kept for long puts those that expire before it out of the order of the list, many of them under one name.
func TestMaintainDeletesFewResultsAtATimeWhateverTheOrderInWhichTheyExpire(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := open(t, server.URL(), func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	long := stem.StatusWrite{TTL: 1000 * time.Hour, Status: stem.Status{ID: "long", Name: "t", Epoch: 1, State: stem.Succeeded}}
	if err := store.Results.Save(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	const tasks = 5000
	book(t, store, tasks, nil)
	for range tasks / 250 {
		now = now.Add(time.Second)
		ds := claim(t, store, 250)
		settle(t, store, func(i int) stem.Settlement { s := done(ds[i]); s.Result.TTL = time.Hour; return s }, ds...)
	}
	now = now.Add(2 * time.Hour)
	before := scriptsOf(t, server)
	m, err := store.Broker.(stem.Maintainer).Maintain(t.Context())
	if err != nil || m.Results != tasks {
		t.Fatalf("%d results were deleted, of %d, %v", m.Results, tasks, err)
	}
	if n := scriptsOf(t, server) - before; m.Results/n > 600 {
		t.Errorf("%d scripts deleted %d results", n, m.Results)
	}
}
