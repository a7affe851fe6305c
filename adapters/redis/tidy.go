package redis

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/stemd/stem"
)

// straySince is how old what is noted of an inbox is when it is forgotten, if there is nothing of it.
const straySince = 24 * time.Hour

// sortOut has the server sort all inboxes, so that what is done to queues is done to all that is in them, and forgets what was noted of messages
// that never came, as their producer died just then.
func (b *broker) sortOut(ctx context.Context, _ *stem.Maintained) error {
	queues, err := b.boxed(ctx)
	if err != nil || len(queues) == 0 {
		return err
	}
	if err := b.sortInboxes(ctx, queues...); err != nil {
		return err
	}
	left, err := b.client.HKeys(ctx, b.keys.key(unsortedKey)).Result()
	if err != nil {
		return err
	}
	now, err := b.now(ctx)
	if err != nil {
		return err
	}
	var stray []string
	for _, id := range left {
		if u, err := uuid.Parse(id); err != nil || now.Sub(time.Unix(u.Time().UnixTime())) > straySince {
			stray = append(stray, id)
		}
	}
	if len(stray) == 0 {
		return nil
	}
	return b.client.HDel(ctx, b.keys.key(unsortedKey), stray...).Err()
}
