package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// skewTold is how far this host's clock may be from the server's before it is told.
	skewTold = 2 * time.Second
	// fullTold is the share of maxmemory in use, in percent, from which it is told.
	fullTold = 90
)

// warnings is what an operator should know of the server, in words to act on. A user that may not ask gets fewer of them.
func (d *db) warnings(ctx context.Context) ([]string, error) {
	told := map[string]bool{}
	if d.insecure {
		told["TLS takes any server certificate (allow_insecure): name the trust root with ca, or anybody on the way can read along"] = true
	}
	var mu sync.Mutex
	err := d.eachServer(ctx, func(ctx context.Context, c *redis.Client) error {
		found, err := d.examine(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		for _, w := range found {
			told[w] = true
		}
		return err
	})
	return slices.Sorted(maps.Keys(told)), d.wrap("examine", err)
}

// eachServer calls fn for the server, or for every primary of a Cluster.
func (d *db) eachServer(ctx context.Context, fn func(context.Context, *redis.Client) error) error {
	switch c := d.client.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, fn)
	case *redis.Client:
		return fn(ctx, c)
	}
	return nil
}

// examine asks one server about itself.
func (d *db) examine(ctx context.Context, c *redis.Client) ([]string, error) {
	begun := d.opts.Now()
	now, timeErr := c.Time(ctx).Result()
	ended := d.opts.Now()
	text, err := c.Info(ctx, "server", "memory", "persistence", "replication").Result()
	if err != nil {
		return nil, err
	}
	info := readInfo(text)
	var out []string
	if err := tooOld(info["redis_version"]); err != nil { // one node among newer ones
		out = append(out, err.Error())
	}
	if skew := max(begun.Sub(now), now.Sub(ended)); timeErr == nil && skew > skewTold {
		out = append(out, fmt.Sprintf("this host's clock is %s off the server's, whose time counts: run an NTP service on both", skew.Round(time.Second)))
	}
	if info["role"] == "slave" {
		out = append(out, "this server is a replica and takes no tasks: connect to the primary, or through Sentinel (?master=NAME)")
	}
	if have, _ := strconv.Atoi(info["connected_slaves"]); info["role"] == "master" && have < d.replicas {
		out = append(out, fmt.Sprintf("wait_replicas=%d, and %d replicas are connected: every publish fails: start replicas, or ask for fewer", d.replicas, have))
	}
	return append(append(append(out, d.messages(ctx, c)...), memory(info)...), persistence(ctx, c, info)...), nil
}

// messages says when the user may not use the namespace's channels. Nothing fails by that, so nobody would see it otherwise. The message
// that it tries with reaches nobody.
func (d *db) messages(ctx context.Context, c *redis.Client) []string {
	send, channel := c.Publish, d.keys.key(watched)+":"
	if d.sharded {
		send = c.SPublish // a node refuses who may not before it names the node of the channel
	}
	if err := send(ctx, channel, "").Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		return nil
	}
	return []string{"the user may not use the namespace's channels: what is waited for and cancelled is noticed seconds late: see the ACL in docs/redis.md"}
}

// leastMajor is the first version whose scripts, access lists and messages within a Cluster are those this package is made for.
const leastMajor = 7

// tooOld refuses a server whose version is known to be too old.
func tooOld(version string) error {
	first, _, _ := strings.Cut(version, ".")
	if major, err := strconv.Atoi(first); err == nil && major < leastMajor {
		return fmt.Errorf("this server is Redis %s, Stem needs %d.0 or newer, also of what only speaks its protocol: upgrade it, or name another one", version, leastMajor)
	}
	return nil
}

func memory(info map[string]string) []string {
	limit, _ := strconv.ParseInt(info["maxmemory"], 10, 64)
	used, _ := strconv.ParseInt(info["used_memory"], 10, 64)
	var out []string
	switch policy := info["maxmemory_policy"]; {
	case strings.HasPrefix(policy, "allkeys"):
		out = append(out, "maxmemory-policy "+policy+" throws tasks away when memory is full: set maxmemory-policy noeviction")
	case strings.HasPrefix(policy, "volatile"): // the keys that expire are the limiter's
		out = append(out, "maxmemory-policy "+policy+" forgets rate limits when memory is full, and more than they allow is run: set maxmemory-policy noeviction")
	}
	if limit > 0 && used*100/limit >= fullTold {
		out = append(out, fmt.Sprintf("memory is %d %% full (%d of %d MiB): raise maxmemory, keep results for a shorter time, or drain the queues",
			used*100/limit, used>>20, limit>>20))
	}
	return out
}

// persistence says what a restart of the server would lose.
func persistence(ctx context.Context, c *redis.Client, info map[string]string) []string {
	if info["loading"] == "1" {
		return nil // it does not say yet what it will do
	}
	var out []string
	if info["aof_enabled"] != "1" {
		w := "no append-only file: when the server dies, all since its last snapshot is lost: set appendonly yes"
		// CONFIG may be forbidden, and then it stays unknown whether there are snapshots.
		if save, err := c.ConfigGet(ctx, "save").Result(); err == nil && save["save"] == "" {
			w = "nothing is kept on disk: when the server dies, every task and result is lost: set appendonly yes"
		}
		out = append(out, w)
	} else if info["aof_last_write_status"] == "err" {
		out = append(out, "the last write to the append-only file failed: look at the server's disk and log")
	}
	if info["rdb_last_bgsave_status"] == "err" {
		out = append(out, "the last snapshot failed, and the server may refuse writes: look at its disk and log")
	}
	return out
}

// readInfo reads the answer of INFO.
func readInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}
