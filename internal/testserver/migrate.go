package testserver

import (
	"context"
	"fmt"
	"strings"
)

// Migration is a slot on its way from one node to another. While it lasts, keys that have moved are answered with ASK, and after
// Finish with MOVED, as during a resharding.
type Migration struct {
	cluster  *Cluster
	slot     int
	from, to *Redis
}

// Migrate begins to move the slot of a key to another node.
func (c *Cluster) Migrate(ctx context.Context, key string) (*Migration, error) {
	from, err := c.Owner(ctx, key)
	if err != nil {
		return nil, err
	}
	slot, err := c.Slot(ctx, key)
	if err != nil {
		return nil, err
	}
	m := &Migration{cluster: c, slot: slot, from: from, to: c.Nodes[0]}
	if from == m.to {
		m.to = c.Nodes[1]
	}
	ids := map[*Redis]string{}
	for _, node := range []*Redis{m.from, m.to} {
		if ids[node], err = node.Client.Do(ctx, "CLUSTER", "MYID").Text(); err != nil {
			return nil, err
		}
	}
	if err := m.to.Client.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[m.from]).Err(); err != nil {
		return nil, err
	}
	return m, m.from.Client.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[m.to]).Err()
}

// Move moves up to n keys and says whether any were left to move.
func (m *Migration) Move(ctx context.Context, n int) (more bool, err error) {
	keys, err := m.from.Client.ClusterGetKeysInSlot(ctx, m.slot, n).Result()
	if err != nil || len(keys) == 0 {
		return false, err
	}
	host, port, _ := strings.Cut(m.to.Addr, ":")
	args := []any{"MIGRATE", host, port, "", 0, patience.Milliseconds(), "KEYS"}
	for _, key := range keys {
		args = append(args, key)
	}
	return true, m.from.Client.Do(ctx, args...).Err()
}

// Finish moves what is left and gives the slot to its new node. Keys that are written meanwhile move with the next round.
func (m *Migration) Finish(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = m.Move(ctx, 100); err != nil {
			return err
		}
	}
	id, err := m.to.Client.Do(ctx, "CLUSTER", "MYID").Text()
	if err != nil {
		return err
	}
	for _, node := range []*Redis{m.to, m.from} {
		if err := node.Client.Do(ctx, "CLUSTER", "SETSLOT", m.slot, "NODE", id).Err(); err != nil {
			return fmt.Errorf("testserver: slot %d to %s: %w", m.slot, m.to.Addr, err)
		}
	}
	return nil
}
