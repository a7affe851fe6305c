package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

const (
	// maintainSlice is how many of each sort one script deletes: a few milliseconds of the server's time.
	maintainSlice = 250
	// maintainScripts is how many such scripts one call of Maintain runs.
	maintainScripts = 40
	// dissolveMax is how many groups, and how many members, one call deletes.
	dissolveMax = 10_000
)

// Maintain implements stem.Maintainer.
func (b *broker) Maintain(ctx context.Context) (stem.Maintained, error) {
	return b.maintain(ctx, b.sortOut, b.deleteExpired, b.dissolveGroups, b.forgetEvents, b.pruneQueues)
}

// keep is Maintain where there are no queues.
func (b *broker) keep(ctx context.Context) (stem.Maintained, error) {
	return b.maintain(ctx, b.deleteExpired, b.dissolveGroups)
}

func (b *broker) maintain(ctx context.Context, steps ...func(context.Context, *stem.Maintained) error) (stem.Maintained, error) {
	var m stem.Maintained
	if err := b.mayWrite("maintain"); err != nil {
		return m, err
	}
	for _, step := range steps {
		if err := step(ctx, &m); err != nil {
			return m, b.wrap("maintain", err)
		}
	}
	return m, nil
}

// deleteExpired deletes results, dead letters, records, remembered ids and unique keys past their time.
func (b *broker) deleteExpired(ctx context.Context, m *stem.Maintained) error {
	keys := b.keys.lanes()
	for range maintainScripts {
		dead := "" // for ever
		if b.opts.DeadLetters >= 0 {
			now, err := b.now(ctx)
			if err != nil {
				return err
			}
			dead = strconv.FormatInt(now.Add(-b.opts.DeadLetters).UnixMicro(), 10)
		}
		n, err := b.run(ctx, "maintain", keys, maintainSlice, dead).Int64Slice()
		if err != nil {
			return err
		}
		for i, count := range []*int{&m.Results, &m.DeadLetters, &m.Records, &m.SeenIDs} {
			*count += int(n[i])
		}
		if n[4] == 0 {
			return nil
		}
	}
	m.More = true
	return nil
}

// dissolveGroups deletes expired groups, their members first.
func (b *broker) dissolveGroups(ctx context.Context, m *stem.Maintained) error {
	now, err := b.now(ctx)
	if err != nil {
		return err
	}
	for deleted := 0; ; {
		old, err := b.client.ZRangeByScore(ctx, b.keys.key(ebbKey), &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(now.UnixMicro(), 10), Count: 1}).Result()
		if err != nil || len(old) == 0 {
			return err
		}
		if deleted > dissolveMax {
			m.More = true
			return nil
		}
		n, err := b.dissolve(ctx, old[0], m)
		if err != nil {
			return err
		}
		deleted += n + 1
	}
}

// dissolve deletes the group of an entry, its generation and id, and says how many members it had.
func (b *broker) dissolve(ctx context.Context, entry string, m *stem.Maintained) (members int, err error) {
	generation, id := entry[:generationSize], entry[generationSize:]
	data, err := b.client.HGet(ctx, b.keys.key(groupData), "m"+entry).Result()
	if err != nil && err != redis.Nil { //nolint:errorlint // never wrapped
		return 0, err
	}
	r := &reader{s: data}
	if data != "" {
		_ = r.blob()
	}
	var fields []string
	for r.s != "" && r.err == nil {
		fields = append(fields, generation+strconv.Itoa(len(id))+":"+id+r.name())
	}
	members = len(fields)
	for part := range slices.Chunk(fields, memberMax) {
		if err := b.client.HDel(ctx, b.keys.key(membersKey), part...).Err(); err != nil {
			return 0, err
		}
	}
	present, err := b.run(ctx, "dissolve", b.keys.lanes(), generation, id).Int()
	m.Groups += present
	return members, err
}

// forgetEvents deletes the broadcasts that their subscribers have not read for too long.
func (b *broker) forgetEvents(ctx context.Context, m *stem.Maintained) error {
	queues, err := b.client.SMembers(ctx, b.keys.key(queuesKey)).Result()
	if err != nil {
		return err
	}
	for _, q := range queues {
		if !strings.HasPrefix(q, stem.BroadcastPrefix) {
			continue
		}
		waiting, now, err := b.waitingIn(ctx, q)
		if err != nil {
			return err
		}
		tasks, err := b.load(ctx, waiting)
		if err != nil {
			return err
		}
		old := tasks[:0]
		for _, t := range tasks {
			if t.live != nil && !t.live.State.NotBefore.After(now) && !t.live.State.Created.After(now.Add(-b.opts.Events)) {
				old = append(old, t)
			}
		}
		n, err := b.cancel(ctx, old, now)
		if err != nil {
			return err
		}
		m.Events += n
		m.More = m.More || n == purgeSlice
	}
	return nil
}

// pruneQueues forgets queues that hold nothing.
func (b *broker) pruneQueues(ctx context.Context, _ *stem.Maintained) error {
	queues, err := b.client.SMembers(ctx, b.keys.key(queuesKey)).Result()
	if err != nil {
		return err
	}
	for part := range slices.Chunk(queues, countMax) {
		if err := b.run(ctx, "prune", b.keys.lanes(part...), anys(part)...).Err(); err != nil {
			return err
		}
	}
	return nil
}

// now is the store's time.
func (d *db) now(ctx context.Context) (time.Time, error) {
	if d.ownClock {
		return d.opts.Now(), nil
	}
	return d.readAt(ctx, func(redis.Pipeliner) func() error { return func() error { return nil } })
}

// waitingIn is a slice of the tasks that wait in a queue, the ready ones first, and the store's time.
func (b *broker) waitingIn(ctx context.Context, queue string) ([]string, time.Time, error) {
	now, err := b.now(ctx)
	if err != nil {
		return nil, now, err
	}
	ids, err := b.run(ctx, "waiting", b.keys.lanes(queue), purgeSlice).StringSlice()
	return ids, now, err
}
