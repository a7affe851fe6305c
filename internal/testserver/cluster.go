package testserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

const slots = 16384

// Cluster is a Redis Cluster of three primaries that share the slots evenly.
type Cluster struct {
	Nodes []*Redis
	dir   *dir
}

// StartCluster starts one. Directives are lines of redis.conf for every node.
func StartCluster(ctx context.Context, directives ...string) (_ *Cluster, err error) {
	d, err := newDir()
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: d}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	const nodes = 3
	for i := range nodes {
		sub, err := d.sub(fmt.Sprintf("node-%d", i))
		if err != nil {
			return nil, err
		}
		node, err := startRedis(ctx, sub, nil, append(clusterConf(), directives...))
		if err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
	}
	if err := c.join(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func clusterConf() []string {
	return []string{"cluster-enabled yes", "cluster-node-timeout 2000", "cluster-allow-replica-migration no"}
}

// join gives each node its slots and makes the nodes known to each other.
func (c *Cluster) join(ctx context.Context) error {
	for i, node := range c.Nodes {
		from, to := i*slots/len(c.Nodes), (i+1)*slots/len(c.Nodes)-1
		if err := node.Client.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", from, to).Err(); err != nil {
			return err
		}
		if err := node.Client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		if i > 0 {
			if err := c.meet(ctx, node); err != nil {
				return err
			}
		}
	}
	return c.Ready(ctx)
}

func (c *Cluster) meet(ctx context.Context, node *Redis) error {
	host, port, _ := strings.Cut(c.Nodes[0].Addr, ":")
	return node.Client.Do(ctx, "CLUSTER", "MEET", host, port, busPort(c.Nodes[0].Addr)).Err()
}

// AddReplica gives a primary a replica, which takes over seconds after it died, and waits until it has the primary's data.
func (c *Cluster) AddReplica(ctx context.Context, primary *Redis) (*Redis, error) {
	id, err := primary.Client.Do(ctx, "CLUSTER", "MYID").Text()
	if err != nil {
		return nil, err
	}
	sub, err := c.dir.sub(fmt.Sprintf("node-%d", len(c.Nodes)))
	if err != nil {
		return nil, err
	}
	replica, err := startRedis(ctx, sub, nil, clusterConf())
	if err != nil {
		return nil, err
	}
	c.Nodes = append(c.Nodes, replica)
	if err := c.meet(ctx, replica); err != nil {
		return nil, err
	}
	if err := c.Ready(ctx); err != nil {
		return nil, err
	}
	if err := replica.Client.ClusterReplicate(ctx, id).Err(); err != nil {
		return nil, err
	}
	return replica, replica.process.until(ctx, func() error {
		info, err := replica.Client.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = fmt.Errorf("testserver: %s does not replicate yet: %s", replica.Addr, info)
		}
		return err
	})
}

// Promoted waits until a replica is a primary.
func (c *Cluster) Promoted(ctx context.Context, replica *Redis) error {
	return replica.process.until(ctx, func() error {
		info, err := replica.Client.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "role:master") {
			err = fmt.Errorf("testserver: %s is not a primary yet: %s", replica.Addr, info)
		}
		return err
	})
}

func busPort(addr string) int {
	_, port, _ := strings.Cut(addr, ":")
	n, _ := strconv.Atoi(port)
	return n + 1
}

// Ready waits until every node sees every slot served.
func (c *Cluster) Ready(ctx context.Context) error {
	for _, node := range c.Nodes {
		err := node.process.until(ctx, func() error {
			info, err := node.Client.ClusterInfo(ctx).Result()
			if err != nil {
				return err
			}
			for _, want := range []string{"cluster_state:ok", "cluster_slots_ok:16384", fmt.Sprintf("cluster_known_nodes:%d", len(c.Nodes))} {
				if !strings.Contains(info, want) {
					return fmt.Errorf("testserver: %s is not in the cluster yet: %s", node.Addr, info)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Addrs are the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr)
	}
	return addrs
}

// URL names all nodes.
func (c *Cluster) URL() string { return "redis://" + strings.Join(c.Addrs(), ",") + "/?cluster=true" }

// Owner is the node that serves a key.
func (c *Cluster) Owner(ctx context.Context, key string) (*Redis, error) {
	slot, err := c.Slot(ctx, key)
	if err != nil {
		return nil, err
	}
	shards, err := c.Nodes[0].Client.ClusterShards(ctx).Result()
	if err != nil {
		return nil, err
	}
	for _, shard := range shards {
		for _, served := range shard.Slots {
			if served.Start > int64(slot) || int64(slot) > served.End {
				continue
			}
			for _, node := range c.Nodes {
				if node.Addr == address(int(shard.Nodes[0].Port)) {
					return node, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("testserver: nobody serves slot %d of key %s", slot, key)
}

// Slot is the slot of a key.
func (c *Cluster) Slot(ctx context.Context, key string) (int, error) {
	slot, err := c.Nodes[0].Client.ClusterKeySlot(ctx, key).Result()
	return int(slot), err
}

// Client is a new client of the whole cluster; the caller closes it.
func (c *Cluster) Client() *redis.ClusterClient {
	return redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
}

// Close ends all nodes and removes their files.
func (c *Cluster) Close() error {
	var errs []error
	for _, node := range c.Nodes {
		errs = append(errs, node.Close())
	}
	return errors.Join(append(errs, c.dir.remove())...)
}
