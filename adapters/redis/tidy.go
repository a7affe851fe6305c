package redis

import (
	"context"

	"github.com/stemd/stem"
)

// sortOut has the server sort the inboxes of all queues, so that what is done to queues is done to all that is in them. It asks for those too
// of which nothing is noted: a producer may have died between his commands.
func (b *broker) sortOut(ctx context.Context, _ *stem.Maintained) error {
	queues, err := b.client.SUnion(ctx, b.keys.key(queuesKey), b.keys.key(inboxesKey)).Result()
	if err != nil {
		return err
	}
	return b.sortInboxes(ctx, queues...)
}
