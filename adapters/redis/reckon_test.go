package redis

import (
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// What the server said of its time long ago is not used: its clock may have been set, or be another server's, since.
func TestATimeThatTheServerToldLongAgoIsAskedAnew(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store, err := Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	d := store.Broker.(*broker).db
	for name, r := range map[string]*reckoning{
		"none yet": nil,
		"old":      {time.Now().Add(-time.Hour), time.Now().Add(-reckonFor)},
		"before this host slept, which its monotonic clock did not count": {time.Now().Add(-time.Hour), time.Now().Add(-time.Hour).Round(0)},
	} {
		d.reckoning.Store(r)
		m, err := stem.BuildMessage("stem", stem.NewHeader("test.task", stem.Queue("q")), []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Broker.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		ds, err := store.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 9, Owner: "o/b", Lease: time.Minute})
		if err != nil || len(ds) != 1 {
			t.Fatal(ds, err)
		}
		if ago := time.Since(ds[0].State.Created); ago < -time.Minute || ago > time.Minute {
			t.Errorf("%s: created %s ago", name, ago)
		}
	}
}
