package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

// replicaPatience is how long a publish waits for its replicas.
const replicaPatience = 5 * time.Second

// replicated waits until as many replicas as wait_replicas asks for have everything that was written before. A primary that dies
// after that, and is replaced by one of them, loses none of it.
//
// WAIT is about the writes of its own connection, which need not be the one that published: a write of its own, later than ours, covers
// them.
func (d *db) replicated(ctx context.Context) error {
	if d.replicas == 0 {
		return nil
	}
	meta := d.keys.key(metaKey)
	var server redis.Cmdable = d.client
	if cluster, ok := d.client.(*redis.ClusterClient); ok {
		primary, err := cluster.MasterForKey(ctx, meta)
		if err != nil {
			return err
		}
		server = primary
	}
	pipe := server.Pipeline()
	pipe.HIncrBy(ctx, meta, "waits", 1)
	answer := pipe.Do(ctx, "WAIT", d.replicas, replicaPatience.Milliseconds())
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	n, err := answer.Int()
	if err == nil && n < d.replicas {
		err = fmt.Errorf("%w: the primary took it, but %d of %d replicas had it after %s (wait_replicas): it is lost if the primary dies before they have",
			stem.ErrUnreplicated, n, d.replicas, replicaPatience)
	}
	return err
}
