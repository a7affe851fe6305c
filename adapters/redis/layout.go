package redis

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// Parts of a spread namespace, each under a tag of its own: "stem{q:1f", "stem{r:07". A namespace has no brace, so no part of one is
// another namespace.
const (
	laneTag      = "{q:" // a part of the queues
	shardTag     = "{r:" // a part of the results, groups and records
	directoryTag = "{d:" // a part of what lanes know of each other
)

// spread is the store of a namespace that lies on all nodes of a Cluster.
func (d *db) spread(info stem.StoreInfo) stem.Store {
	shards, notes := d.parts(shardTag), d.parts(directoryTag)
	rest := stem.Store{Broker: &keeper{shards: shards}, Results: &results{d, shards}, Records: &records{d, shards, new(tide)}}
	s := adapters.Spread(adapters.Spreading{
		Lanes: laneNames(), LaneOf: laneOf, Watch: d.rings,
		Lane: func(name string) stem.Store {
			l := d.under(d.opts.Namespace + laneTag + name)
			return stem.Store{Broker: &broker{l}, Results: &results{l, []*db{l}}}
		},
		Directory: stem.Store{Broker: &keeper{shards: notes}, Records: &records{d, notes, nil}, CloseFunc: d.close},
		Results:   rest, Records: rest, Limiter: &broker{d}, Options: d.opts, Info: info,
	})
	s.Bus, s.ExamineFunc = &bus{d}, d.warnings
	return s
}

// laneCount is into how many parts the queues of a spread namespace are cut. A process that works on very many queues waits and looks at so
// many places at most; and a name of a queue is kept where the queue is, so that it goes with the queue. It never changes.
const laneCount = 256

// laneOf names the part in which a queue lies.
func laneOf(queue string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(queue))
	return laneName(h.Sum32() % laneCount)
}

func laneName(n uint32) string { return fmt.Sprintf("%02x", n) }

func laneNames() []string {
	out := make([]string, laneCount)
	for i := range out {
		out[i] = laneName(uint32(i))
	}
	return out
}

func (d *db) parts(tag string) []*db {
	out := make([]*db, shardCount)
	for i := range out {
		out[i] = d.under(fmt.Sprintf("%s%s%02d", d.opts.Namespace, tag, i))
	}
	return out
}

// keeper maintains parts that hold no tasks.
type keeper struct {
	stem.Broker // nil: it moves nothing
	shards      []*db
}

var _ stem.Maintainer = (*keeper)(nil)

// keepAbreast is how many parts are maintained at the same time.
const keepAbreast = 8

// Maintain implements stem.Maintainer.
func (k *keeper) Maintain(ctx context.Context) (stem.Maintained, error) {
	each := make([]stem.Maintained, len(k.shards))
	errs := adapters.Abreast(len(k.shards), keepAbreast, func(i int) (err error) {
		each[i], err = (&broker{k.shards[i]}).keep(ctx)
		return err
	})
	var sum stem.Maintained
	for _, one := range each {
		sum = sum.Beside(one)
	}
	return sum, adapters.Joined(errs...)
}

// layout says how a namespace lies on a Cluster.
type layout string

const (
	layoutKey           = "layout"
	layoutField         = "is"
	spreadLayout layout = "spread-256" // over all nodes
	formerLayout layout = "spread"     // over all nodes, each queue by itself
	wholeLayout  layout = "whole"      // on one
)

// settleLayout notes how a namespace lies on a Cluster, and refuses one that lies otherwise: it would look empty.
func (d *db) settleLayout(ctx context.Context, spread bool) error {
	want, key := wholeLayout, d.keys.key(layoutKey)
	if spread {
		want = spreadLayout
	}
	found, err := d.client.HGet(ctx, key, layoutField).Result()
	if spread && isAway(err) && d.copied(ctx) {
		return nil
	}
	if err == redis.Nil && spread { //nolint:errorlint // never wrapped
		// Namespaces had no such note once, and lay on one node.
		var used int64
		if used, err = d.client.Exists(ctx, d.wholeKeys()...).Result(); err == nil && used > 0 {
			found = string(wholeLayout)
		}
	}
	if found == "" && (err == nil || err == redis.Nil) { //nolint:errorlint // never wrapped
		if d.opts.ReadOnly {
			return nil
		}
		if err = d.client.HSetNX(ctx, key, layoutField, string(want)).Err(); err == nil {
			found, err = d.client.HGet(ctx, key, layoutField).Result()
		}
	}
	switch {
	case err != nil:
		return err
	case found == string(want):
		if spread && !d.opts.ReadOnly {
			d.copyLayout(ctx)
		}
		return nil
	case found == string(formerLayout):
		return &layoutError{d.opts.Namespace, "was spread over the nodes of the Cluster by an older version", "work it off with that one"}
	case spread:
		return &layoutError{d.opts.Namespace, "lies on one node of the Cluster", "add spread=off to the URL"}
	}
	return &layoutError{d.opts.Namespace, "is spread over the nodes of the Cluster", "take spread=off out of the URL"}
}

// copies are where it is noted once more that a namespace is spread, for when the node of the first note is away. What they say was true
// when they were made, and stays so.
func (d *db) copies() []string {
	var out []string
	for i, part := range d.parts(directoryTag) {
		if i%8 == 0 {
			out = append(out, part.keys.key(layoutKey))
		}
	}
	return out
}

// copyLayout makes them, as far as their nodes are there.
func (d *db) copyLayout(ctx context.Context) {
	pipe := d.client.Pipeline()
	for _, key := range d.copies() {
		pipe.HSetNX(ctx, key, layoutField, string(spreadLayout))
	}
	_, _ = pipe.Exec(ctx) // the next one who opens the namespace tries again
}

// copied says whether one of them can be read.
func (d *db) copied(ctx context.Context) bool {
	pipe := d.client.Pipeline()
	var found []*redis.StringCmd
	for _, key := range d.copies() {
		found = append(found, pipe.HGet(ctx, key, layoutField))
	}
	execute(ctx, pipe)
	return slices.ContainsFunc(found, func(c *redis.StringCmd) bool { return c.Val() == string(spreadLayout) })
}

// wholeKeys are the keys under which a namespace on one node has anything to keep.
func (d *db) wholeKeys() []string {
	var out []string
	for _, name := range []string{bodiesKey, resultsKey, recordsKey, deadKey, groupsKey} {
		out = append(out, d.keys.key(name))
	}
	return out
}

// layoutError says that a namespace lies otherwise on its Cluster than the URL says.
type layoutError struct{ namespace, is, advice string }

func (e *layoutError) Error() string {
	return "namespace " + e.namespace + " " + e.is + ": " + e.advice + ", or take another namespace"
}
