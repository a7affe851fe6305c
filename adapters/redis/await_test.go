package redis

import (
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// TestWhatIsClaimedAfterAWaitThatFailedIsDelivered takes away the permission to wait: the claim behind the wait is carried out all the
// same, so its tasks must not be lost with the error.
func TestWhatIsClaimedAfterAWaitThatFailedIsDelivered(t *testing.T) {
	server := testserver.NewRedis(t)
	store, err := Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := server.Client.Do(t.Context(), "ACL", "SETUSER", "default", "-bzpopmin").Err(); err != nil {
		t.Fatal(err)
	}
	b := store.Broker.(*broker)
	call := b.claimCall(stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "node/boot"})
	if _, err := b.run(t.Context(), "claim", call.lanes, call.args...).Slice(); err != nil { // the server knows the script
		t.Fatal(err)
	}
	m, err := stem.BuildMessage("stem", stem.NewHeader("test.task", stem.Queue("q")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Broker.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	woken, err := b.await(t.Context(), call, time.Minute, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if out, _, err := b.claimed(t.Context(), woken.reply, call.owner); err != nil || len(out) != 1 || out[0].ID != m.ID {
		t.Errorf("claimed %+v, %v", out, err)
	}
	if _, err := b.await(t.Context(), call, time.Minute, time.Minute); err == nil {
		t.Error("a wait that is not permitted gives no error")
	}
}
