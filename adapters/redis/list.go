package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// List implements stem.Results. The cursor is the update time and id of the last item. A filter that few statuses pass reads many.
func (r *results) List(ctx context.Context, q stem.StatusQuery) (stem.StatusPage, error) {
	var page stem.StatusPage
	limit := adapters.PageLimit(q.Limit)
	last := redis.Z{Score: -1}
	if q.Cursor != "" {
		score, id, _ := strings.Cut(q.Cursor, ".")
		var err error
		if last.Score, err = strconv.ParseFloat(score, 64); err != nil || id == "" {
			return page, r.wrap("list results", fmt.Errorf("cursor %q is not one of this store", q.Cursor))
		}
		last.Member = id
	}
	for {
		chunk, err := r.after(ctx, last, max(limit+1, pageChunk))
		if err != nil || len(chunk) == 0 {
			return page, r.wrap("list results", err)
		}
		ids := make([]string, len(chunk))
		for i, z := range chunk {
			ids[i] = z.Member.(string)
		}
		loaded, err := r.Load(ctx, ids...)
		if err != nil {
			return page, err
		}
		for i, s := range loaded {
			if s == nil || q.State != "" && s.State != q.State || q.Queue != "" && s.Queue != q.Queue || q.Name != "" && s.Name != q.Name {
				last = chunk[i]
				continue
			}
			if len(page.Items) == limit {
				page.Next = strconv.FormatFloat(last.Score, 'f', 0, 64) + "." + last.Member.(string)
				return page, nil
			}
			page.Items, last = append(page.Items, *s), chunk[i]
		}
	}
}

// pageChunk is how many statuses are looked at in one round trip at least.
const pageChunk = 100

// after is the next n of everything known after last, newest update first.
func (r *results) after(ctx context.Context, last redis.Z, n int) ([]redis.Z, error) {
	from := "+inf"
	if last.Score >= 0 {
		from = strconv.FormatFloat(last.Score, 'f', 0, 64)
	}
	for skip := int64(0); ; skip += int64(n) {
		all, err := r.client.ZRevRangeByScoreWithScores(ctx, r.keys.key(recentKey), &redis.ZRangeBy{Min: "-inf", Max: from, Offset: skip, Count: int64(n)}).Result()
		if err != nil || len(all) == 0 {
			return nil, err
		}
		for i, z := range all {
			if last.Score < 0 || z.Score < last.Score || z.Member.(string) < last.Member.(string) {
				return all[i:], nil
			}
		}
	}
}
