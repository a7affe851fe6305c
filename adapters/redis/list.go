package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

const (
	// pageChunk is how many statuses are looked at in one round trip at least.
	pageChunk = 100
	// runningMax is how many claimed tasks one script looks at.
	runningMax = 1000
)

// seat is a task's place in the list: newest update first.
type seat struct {
	updated int64
	id      string
}

func (s seat) compare(o seat) int {
	return cmp.Or(cmp.Compare(o.updated, s.updated), cmp.Compare(o.id, s.id))
}

// List implements stem.Results. The cursor is the seat of the last item. A filter that few statuses pass reads many.
//
// A claim does not move a task in the list that the server keeps, as claims are many and lists are few: what is claimed is listed from
// the leases.
func (r *results) List(ctx context.Context, q stem.StatusQuery) (stem.StatusPage, error) {
	var page stem.StatusPage
	limit := adapters.PageLimit(q.Limit)
	last := seat{updated: 1 << 53}
	if q.Cursor != "" {
		updated, id, _ := strings.Cut(q.Cursor, ".")
		var err error
		if last.updated, err = strconv.ParseInt(updated, 10, 64); err != nil || id == "" {
			return page, r.wrap("list results", adapters.BadCursor(q.Cursor))
		}
		last.id = id
	}
	next, missing, err := r.listing(ctx, last, limit)
	if err != nil {
		return page, r.wrap("list results", err)
	}
	for {
		seats, err := next(last)
		if err != nil || len(seats) == 0 {
			return page, r.wrap("list results", cmp.Or(err, *missing))
		}
		ids := make([]string, len(seats))
		for i, s := range seats {
			ids[i] = s.id
		}
		loaded, err := r.Load(ctx, ids...)
		if err != nil {
			return page, err
		}
		for i, s := range loaded {
			if s != nil && (q.State == "" || s.State == q.State) && (q.Queue == "" || s.Queue == q.Queue) && (q.Name == "" || s.Name == q.Name) {
				if len(page.Items) == limit {
					page.Next = fmt.Sprintf("%d.%s", last.updated, last.id)
					return page, r.wrap("list results", *missing)
				}
				page.Items = append(page.Items, *s)
			}
			last = seats[i]
		}
	}
}

// listing gives the seats after a place, some at a time, none at the end. missing is why there are parts whose seats are not among them.
func (r *results) listing(ctx context.Context, from seat, limit int) (next func(last seat) ([]seat, error), missing *error, err error) {
	if len(r.shards) > 1 {
		all := r.merged(ctx, from, limit)
		return func(seat) ([]seat, error) {
			var out []seat
			for len(out) <= limit {
				s, ok, err := all.next()
				if err != nil || !ok {
					return out, err
				}
				out = append(out, s)
			}
			return out, nil
		}, &all.missing, nil
	}
	running, err := r.running(ctx)
	if err != nil {
		return nil, new(error), err
	}
	err = r.addBoxed(ctx, running)
	return func(last seat) ([]seat, error) { return r.seats(ctx, running, last, max(limit+1, pageChunk)) }, new(error), err
}

// merged is the lists of all parts as one. Nothing runs there: what is claimed has been written down.
func (r *results) merged(ctx context.Context, from seat, limit int) *merger[seat] {
	m := newMerger(len(r.shards), func(a, b seat) bool { return a.compare(b) < 0 })
	places := make([]listed, len(r.shards))
	for i := range places {
		places[i].last = from
	}
	piece := max(pieceMin, 2*limit/len(r.shards))
	m.fill = func(which []int) error {
		pipe := r.client.Pipeline()
		cmds := make([]*redis.ZSliceCmd, len(which))
		for n, i := range which {
			cmds[n] = pipe.ZRevRangeByScoreWithScores(ctx, r.shards[i].keys.key(recentKey), places[i].next(piece))
		}
		execute(ctx, pipe)
		for n, i := range which {
			err := cmds[n].Err()
			if err != nil && (!isAway(err) || ctx.Err() != nil) {
				return err
			}
			m.missing = cmp.Or(m.missing, err)
			m.lists[i] = places[i].take(cmds[n].Val())
			m.ended[i] = len(cmds[n].Val()) < piece
		}
		return nil
	}
	return m
}

// pieceMin is how much of a part's list is read at a time at least.
const pieceMin = 8

// listed is how far a list has been read.
type listed struct {
	last seat
	skip int64 // seats of the same moment as last, or before it, that come first and are known
}

func (p *listed) next(n int) *redis.ZRangeBy {
	return &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(p.last.updated, 10), Offset: p.skip, Count: int64(n)}
}

// take gives what is new of a piece and moves on.
func (p *listed) take(piece []redis.Z) (out []seat) {
	for _, z := range piece {
		if s := (seat{int64(z.Score), z.Member.(string)}); p.last.compare(s) < 0 {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		p.skip += int64(len(piece))
		return nil
	}
	p.last, p.skip = out[len(out)-1], 0
	return out
}

// running are the claimed tasks and when they were updated.
func (r *results) running(ctx context.Context) (map[string]int64, error) {
	queues, err := r.client.SMembers(ctx, r.keys.key(queuesKey)).Result()
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for part := range slices.Chunk(queues, countMax) {
		both, err := r.run(ctx, "running", r.keys.lanes(part...), len(part), runningMax).Slice()
		if err != nil {
			return nil, err
		}
		large, values := both[0].([]any), both[1].([]any)
		for i := 0; i+1 < len(values); i += 2 {
			out[values[i+1].(string)] = values[i].(int64)
		}
		for _, q := range large {
			if err := r.held(ctx, part[q.(int64)-1], out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// addBoxed adds the tasks in inboxes, as far as these can not be sorted.
func (r *results) addBoxed(ctx context.Context, to map[string]int64) error {
	queues, err := r.boxed(ctx)
	if err != nil || len(queues) == 0 {
		return err
	}
	if done, err := r.sorted(ctx, queues...); done || err != nil {
		return err
	}
	there, err := r.peek(ctx, queues)
	for id, t := range there {
		to[id] = t.state.updated
	}
	return err
}

// held adds the claimed tasks of one queue, a part at a time. A lease that is extended meanwhile is seen twice, and none is missed.
func (d *db) held(ctx context.Context, queue string, out map[string]int64) error {
	for over := range 2 {
		last, seen := int64(0), 0 // the score of the last one, and how many of that score came before
		for more := true; more; {
			values, err := d.run(ctx, "leases", d.keys.lanes(queue), over, last, seen, runningMax).Slice()
			if err != nil {
				return err
			}
			more = len(values) > 0
			for i := 0; i+2 < len(values); i += 3 {
				if score := values[i].(int64); score != last {
					last, seen = score, 0
				}
				seen++
				switch task := values[i+2].(type) {
				case string:
					out[task] = values[i+1].(int64)
				case []any: // of a page
					for _, id := range task {
						out[id.(string)] = values[i+1].(int64)
					}
				}
			}
		}
	}
	return nil
}

// seats is the next n after last at most, of the running and of those in the list, in order.
func (r *results) seats(ctx context.Context, running map[string]int64, last seat, n int) ([]seat, error) {
	kept, err := r.after(ctx, last, n)
	if err != nil {
		return nil, err
	}
	var out []seat
	for _, s := range kept {
		if _, runs := running[s.id]; !runs {
			out = append(out, s)
		}
	}
	for id, updated := range running {
		s := seat{updated, id}
		// Beyond the end of a full part of the list there may be others before it.
		if last.compare(s) < 0 && (len(kept) < n || s.compare(kept[len(kept)-1]) < 0) {
			out = append(out, s)
		}
	}
	if len(out) == 0 && len(kept) == n { // all of them run: look further
		return r.seats(ctx, running, kept[n-1], n)
	}
	slices.SortFunc(out, seat.compare)
	return out[:min(len(out), n)], nil
}

// after is the next n of the list after last.
func (r *results) after(ctx context.Context, last seat, n int) ([]seat, error) {
	all, err := r.run(ctx, "after", r.keys.lanes(), last.updated, n).StringSlice()
	if err != nil {
		return nil, err
	}
	var out []seat
	for i := 0; i+1 < len(all); i += 2 {
		updated, err := strconv.ParseInt(all[i+1], 10, 64)
		if err != nil {
			return nil, err
		}
		if s := (seat{updated, all[i]}); last.compare(s) < 0 {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, seat.compare)
	out = slices.Compact(out) // two results of one task may have been saved at one moment
	return out[:min(len(out), n)], nil
}
