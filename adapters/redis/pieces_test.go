package redis_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// An inbox becomes pages piece by piece, and most pieces end within a message. What is in such a page is as whole as in any other.
func TestTasksOfPagesThatEndWithTheBeginningOfAnotherAreWhole(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	for n, size := range []int{1, 100, 317, 700, 1500, 101, 318, 701} {
		var ids []string
		for range 100 {
			m := single(t)
			m.Envelope.Body = make([]byte, size)
			publish(t, store, m)
			ids = append(ids, m.ID)
		}
		if n < 5 { // of the others the claim makes pages
			if s, err := store.Results.Load(t.Context(), ids...); err != nil || slices.Contains(s, nil) {
				t.Fatalf("of %d bytes: %v, %v", size, s, err)
			}
		}
		ds := claim(t, store, 1)
		pages, err := server.Client.HLen(t.Context(), "{stem}:pages").Result()
		if err != nil || pages == 0 {
			t.Fatalf("of %d bytes: there are %d pages, %v", size, pages, err)
		}
		for len(ds) < 100 {
			more := claim(t, store, 100)
			if len(more) == 0 {
				t.Fatalf("of %d bytes: claimed %d", size, len(ds))
			}
			ds = append(ds, more...)
		}
		var again []string
		for i := range ds {
			if ds[i].ID != ids[i] || len(ds[i].Envelope.Body) != size {
				t.Fatalf("of %d bytes: claimed %s with %d, want %s", size, ds[i].ID, len(ds[i].Envelope.Body), ids[i])
			}
			if i%9 == 0 {
				again = append(again, ids[i])
			}
		}
		settle(t, store, func(i int) stem.Settlement {
			if slices.Contains(again, ds[i].ID) { // which takes it out of its page
				return stem.Settlement{Kind: stem.Release}
			}
			return done(ds[i])
		}, ds...)
		if faults := redis.Audit(t, server.Client, "{stem}:"); len(faults) > 0 {
			t.Errorf("of %d bytes: %q", size, faults)
		}
		ds = claim(t, store, 100)
		for i := range ds {
			if ds[i].ID != again[i] || len(ds[i].Envelope.Body) != size {
				t.Errorf("of %d bytes: claimed %s with %d again, want %s", size, ds[i].ID, len(ds[i].Envelope.Body), again[i])
			}
		}
		if len(ds) != len(again) {
			t.Errorf("of %d bytes: claimed %d again, want %d", size, len(ds), len(again))
		}
		settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
	}
}

// item is what the reader of a page takes for a message.
func item(id string, size int) string {
	b := append(make([]byte, 8), byte(len(id)), 0)
	b = append(b, id...)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	return string(append(b, make([]byte, size)...))
}

// Whatever else is in an inbox, the messages before it are delivered.
func TestWhatIsNoMessageCostsNoneThatCameBefore(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	for name, garbage := range map[string]string{
		"a short one": item("x", 3), "one with a short id": item("x", 60), "one of nothing": item("", 0),
		"one with a good id": item(stem.NewID(), 60), "one that says it is long": item(stem.NewID(), 0)[:46] + "\xff\xff\xff\xff" + strings.Repeat("x", 100),
		"text": strings.Repeat("garbage", 10_000), "a byte": "x", "nine": "123456789", "an id and no more": item(stem.NewID(), 0)[:46],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := strings.ReplaceAll(name, " ", "-")
			store := open(t, server.URL(), func(o *stem.StoreOptions) { o.Namespace = namespace })
			box := "{" + namespace + "}:q:" + queue + ":i"
			for _, n := range []int{1, 7, 8, 40} {
				var ids []string
				for range n {
					m := single(t)
					publish(t, store, m)
					ids = append(ids, m.ID)
				}
				if err := server.Client.Append(t.Context(), box, garbage).Err(); err != nil {
					t.Fatal(err)
				}
				if _, err := store.Results.Load(t.Context(), stem.NewID()); err != nil { // which sorts
					t.Fatal(err)
				}
				claimsOnly(t, store, ids)
				if left, err := server.Client.Exists(t.Context(), box).Result(); err != nil || left > 0 {
					t.Errorf("behind %d the inbox is still there, %v", n, err)
				}
				if faults := redis.Audit(t, server.Client, "{"+namespace+"}:"); len(faults) > 0 {
					t.Errorf("behind %d: %q", n, faults)
				}
			}
		})
	}
}

// Who may not write sees all tasks of all inboxes, whatever else there is.
func TestWhatIsNoMessageHidesNoOther(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	ids := boxed(t, server, store, 2)
	if err := server.Client.Append(t.Context(), "{stem}:q:"+queue+":i", item(stem.NewID(), 3)).Err(); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, boxed(t, server, store, 1)...)
	reader := open(t, server.URL(), func(o *stem.StoreOptions) { o.ReadOnly = true })
	if s, err := reader.Results.Load(t.Context(), append(ids, stem.NewID())...); err != nil || slices.Contains(s[:3], nil) || s[3] != nil {
		t.Errorf("%v, %v", s, err)
	}
}

// What is published is found at once, whoever else publishes, claims or looks meanwhile.
func TestWhatIsPublishedIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	const producers, each = 6, 500
	failed := make(chan error, producers)
	for range producers {
		own := open(t, server.URL())
		msgs := make([]stem.Message, each)
		for i := range msgs {
			msgs[i] = single(t)
		}
		go func() {
			for _, m := range msgs {
				if _, err := own.Broker.Publish(t.Context(), m); err != nil {
					failed <- err
					return
				}
				if s, err := own.Results.Load(t.Context(), m.ID); err != nil || s[0] == nil {
					failed <- fmt.Errorf("%s is published and unknown, %v", m.ID, err)
					return
				}
			}
			failed <- nil
		}()
	}
	for left := producers; left > 0; {
		ds := claim(t, store, 50)
		settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
		select {
		case err := <-failed:
			if left--; err != nil {
				t.Error(err)
			}
		default:
		}
	}
}

// Those who publish into one inbox at once, while others claim, look and sort, lose nothing and have their order each.
func TestManyProducersAndLookersShareAnInbox(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	const producers, each = 6, 400
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	looking := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if _, err := store.Results.Load(ctx, stem.NewID()); err != nil && ctx.Err() == nil {
				looking <- err
				return
			}
			if _, err := store.Broker.(stem.Maintainer).Maintain(ctx); err != nil && ctx.Err() == nil {
				looking <- err
				return
			}
		}
		looking <- nil
	}()
	failed := make(chan error, producers)
	for p := range producers {
		own := open(t, server.URL())
		msgs := make([]stem.Message, each)
		for i := range msgs {
			msgs[i] = single(t)
			msgs[i].Name = fmt.Sprint(p)
			msgs[i].Envelope.Body = make([]byte, 150*p)
		}
		go func() {
			for i := range msgs {
				if _, err := own.Broker.Publish(ctx, msgs[i]); err != nil {
					failed <- err
					return
				}
				if _, err := own.Results.Load(ctx, msgs[i].ID); i%50 == p && err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	got := map[string]bool{}
	for len(got) < producers*each {
		c := ask(time.Minute)
		c.Max, c.Wait = 50, 10*time.Second
		ds, err := store.Broker.Claim(t.Context(), c)
		if err != nil || len(ds) == 0 {
			t.Fatalf("claimed %d of %d, then %d, %v", len(got), producers*each, len(ds), err)
		}
		for _, d := range ds {
			if got[d.ID] {
				t.Errorf("%s came twice", d.ID)
			}
			got[d.ID] = true
		}
		settle(t, store, func(i int) stem.Settlement { return done(ds[i]) }, ds...)
	}
	for range producers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-looking; err != nil {
		t.Error(err)
	}
	if faults := redis.Audit(t, server.Client, "{stem}:"); len(faults) > 0 {
		t.Errorf("%q", faults)
	}
}
