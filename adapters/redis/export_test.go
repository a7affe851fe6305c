package redis

import (
	"context"

	"github.com/stemd/stem"
)

// OpenInPages is Open of a store that puts every plain message into a page, and not only many together.
func OpenInPages(ctx context.Context, url string, opts ...stem.StoreOption) (stem.Store, error) {
	return open(ctx, url, 1, opts)
}

// LaneOf names the part of a spread namespace in which a queue lies.
var LaneOf = laneOf
