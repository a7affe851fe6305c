package redis

import (
	"context"
	"hash/fnv"
)

// shardCount is into how many parts results and records of a spread namespace are cut: enough for every node of a large Cluster to have
// some, and few enough to ask all of them at once. It is part of the layout and never changes.
const shardCount = 64

// shard is the part in which something of these names lies.
func shard(shards []*db, names ...string) *db {
	if len(shards) == 1 {
		return shards[0]
	}
	h := fnv.New32a()
	for _, n := range names {
		_, _ = h.Write([]byte(n))
		_, _ = h.Write([]byte{0})
	}
	return shards[h.Sum32()%uint32(len(shards))]
}

// portion is the members of a batch that lie in one part.
type portion struct {
	*db
	at []int
}

// portions sorts n members of a batch by where they lie.
func portions(shards []*db, n int, of func(i int) *db) []*portion {
	var out []*portion
	known := make(map[*db]*portion, min(n, len(shards)))
	for i := range n {
		d := of(i)
		p := known[d]
		if p == nil {
			p = &portion{db: d}
			known[d], out = p, append(out, p)
		}
		p.at = append(p.at, i)
	}
	return out
}

// scatter runs a script in each portion, in one round trip to each node, again until all members have been served. build puts as many
// members as fit into one call and says how many; read gets the call with its answer and the members it was for.
func (d *db) scatter(ctx context.Context, script string, all []*portion, build func(*db, []int) (*call, int, error), read func(*call) error) error {
	for len(all) > 0 {
		var calls []*call
		var rest []*portion
		for _, p := range all {
			c, n, err := build(p.db, p.at)
			if err != nil {
				return err
			}
			c.script, c.db, c.msgs, p.at = script, p.db, p.at[:n], p.at[n:]
			calls = append(calls, c)
			if len(p.at) > 0 {
				rest = append(rest, p)
			}
		}
		if err := d.runAll(ctx, calls); err != nil {
			return err
		}
		for _, c := range calls {
			if read == nil {
				break
			}
			if err := read(c); err != nil {
				return err
			}
		}
		all = rest
	}
	return nil
}
