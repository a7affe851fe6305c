package redis

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/stemd/stem"
)

// OpenInPages is Open of a store that puts every plain message into a page, and not only many together.
func OpenInPages(ctx context.Context, url string, opts ...stem.StoreOption) (stem.Store, error) {
	return open(ctx, url, 1, opts)
}

// ProbePeriod is how long after one question to a silent node the next one comes at the latest.
const ProbePeriod = probeEvery + probePatience

// LaneOf names the part of a spread namespace in which a queue lies.
var LaneOf = laneOf

// OpenThrough is Open of a store that reaches its servers through dial.
func OpenThrough(ctx context.Context, url string, dial func(ctx context.Context, network, addr string) (net.Conn, error), opts ...stem.StoreOption) (stem.Store, error) {
	t, err := parse(url)
	if err != nil {
		return stem.Store{}, err
	}
	t.options.Dialer = dial
	return t.open(ctx, pageMin, opts)
}

// ShardTag is the tag under which the result of a task lies in a spread namespace.
func ShardTag(id string) string {
	d := (&conn{}).under("").parts(shardTag)
	return strings.TrimSuffix(strings.TrimPrefix(shard(d, id).keys.key(""), "{"), "}:")
}

// ClaimInTwo runs the script of a claim; what that gave is read when read is called.
func ClaimInTwo(ctx context.Context, store stem.Store, c stem.Claim) (read func() ([]stem.Delivery, error), err error) {
	b := store.Broker.(*broker)
	call := b.claimCall(c)
	reply, err := b.run(ctx, "claim", call.lanes, call.args...).Slice()
	return func() ([]stem.Delivery, error) {
		out, _, err := b.claimed(ctx, reply, c.Owner)
		return out, err
	}, err
}

// Prune forgets queues that hold nothing.
func Prune(ctx context.Context, store stem.Store) error {
	return store.Broker.(*broker).pruneQueues(ctx, &stem.Maintained{})
}

// Expectant has the next claim of these queues wait at once, as after one that found nothing.
func Expectant(store stem.Store, queues ...string) {
	store.Broker.(*broker).calm.note(queues, bellPatience, false)
}

// Reluctant is of a store that books what it takes when it must, and not by itself.
func Reluctant(store stem.Store) {
	t := &store.Broker.(*broker).taken
	t.mu.Lock()
	defer t.mu.Unlock()
	t.soon = true
}

// Unbooked is how many tasks a store has taken and not booked yet.
func Unbooked(store stem.Store) int {
	t := &store.Broker.(*broker).taken
	return int(t.took.Load() - t.done.Load())
}

// HoldBooking has whoever books wait until free.
func HoldBooking(store stem.Store) (free func()) { return store.Broker.(*broker).taken.hold() }

// SetBack has a store believe that its server's time is so much earlier.
func SetBack(store stem.Store, by time.Duration) {
	d := store.Broker.(*broker).db
	r := *d.reckoning.Load()
	r.server = r.server.Add(-by)
	d.reckoning.Store(&r)
}
