package redis

import (
	"context"
	"net"
	"strings"

	"github.com/stemd/stem"
)

// OpenInPages is Open of a store that puts every plain message into a page, and not only many together.
func OpenInPages(ctx context.Context, url string, opts ...stem.StoreOption) (stem.Store, error) {
	return open(ctx, url, 1, opts)
}

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
