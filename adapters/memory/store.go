// Package memory is the store that lives in the process: queues, results, records and bus behind one mutex. It is the
// reference the other adapters are compared with, the store of tests, and the fastest there is; what it holds ends with the
// process. Only programs that want such a store import it.
package memory

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/stemd/stem"
)

// Open makes an empty store. The URL is memory:// or mem://, perhaps with a name that is only shown: every Open is a store of
// its own. Messages and statuses are kept and handed out as they are, without copying, so nobody may change their bytes.
func Open(_ context.Context, rawURL string, opts ...stem.StoreOption) (stem.Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return stem.Store{}, fmt.Errorf("memory: open: %w", err)
	}
	if u.Scheme != "memory" && u.Scheme != "mem" {
		return stem.Store{}, fmt.Errorf("memory: open %s: the URL must begin with memory://", u.Redacted())
	}
	c := newCore(stem.NewStoreOptions(opts...))
	return stem.Store{
		Broker:  &broker{c},
		Results: &results{c},
		Records: &records{c},
		Bus:     &bus{c},
		Info: stem.StoreInfo{
			URL: u.Redacted(), Kind: "memory", Version: "in this process", Namespace: c.opts.Namespace, OneFile: true,
			Warnings: []string{"tasks and results live in this process only and end with it"},
		},
		CloseFunc: c.close,
	}, nil
}

// core is everything the ports share. mu guards all of it.
type core struct {
	opts stem.StoreOptions
	done chan struct{} // closed by close

	mu      sync.Mutex
	closed  bool
	seq     uint64     // arrival order of tasks
	epoch   stem.Epoch // highest epoch or record version given out: neither is ever reused
	queues  map[string]*queue
	entries map[string]*entry
	recent  recency
	expiry  heap[*entry] // saved statuses by expiry
	seen    heap[*entry] // remembered ids by the end of their memory
	letters letterList
	shelves map[string]*shelf // records by kind
	stale   heap[*record]     // records by expiry
	topics  map[string][]*subscription
	keys    map[string]*reservation // unique keys
	lapsing heap[*reservation]      // by the end of their reservation
	groups  map[string]*group
	ebbing  heap[*group]       // by expiry
	buckets map[string]*bucket // of the limiter
	resting heap[*bucket]      // by when they may be forgotten
}

func newCore(opts stem.StoreOptions) *core {
	return &core{
		opts: opts, done: make(chan struct{}),
		queues: map[string]*queue{}, entries: map[string]*entry{}, shelves: map[string]*shelf{}, topics: map[string][]*subscription{},
		keys: map[string]*reservation{}, groups: map[string]*group{}, buckets: map[string]*bucket{},
		expiry: heap[*entry]{less: func(a, b *entry) bool { return a.expires.Before(b.expires) }, at: func(e *entry) *int { return &e.expiryAt }},
		seen:   heap[*entry]{less: func(a, b *entry) bool { return a.seenUntil.Before(b.seenUntil) }, at: func(e *entry) *int { return &e.seenAt }},
		lapsing: heap[*reservation]{
			less: func(a, b *reservation) bool { return a.until.Before(b.until) }, at: func(r *reservation) *int { return &r.at },
		},
		ebbing:  heap[*group]{less: func(a, b *group) bool { return a.expires.Before(b.expires) }, at: func(g *group) *int { return &g.at }},
		resting: heap[*bucket]{less: func(a, b *bucket) bool { return a.forget < b.forget }, at: func(b *bucket) *int { return &b.at }},
		stale:   heap[*record]{less: func(a, b *record) bool { return a.Expires.Before(b.Expires) }, at: func(r *record) *int { return &r.staleAt }},
	}
}

// enter locks the store for looking at it and tells its time. The caller unlocks when there is no error.
func (c *core) enter() (time.Time, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return time.Time{}, stem.ErrClosed
	}
	return c.opts.Now(), nil
}

// change is enter for writing.
func (c *core) change() (time.Time, error) {
	if c.opts.ReadOnly {
		return time.Time{}, stem.ErrReadOnly
	}
	return c.enter()
}

// next is a new epoch or version, above every one given out and above previous.
func (c *core) next(previous stem.Epoch, now time.Time) stem.Epoch {
	c.epoch = stem.NextEpoch(max(c.epoch, previous), now)
	return c.epoch
}

func (c *core) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	close(c.done)
	for _, e := range c.entries {
		for _, w := range slices.Clone(e.watchers) {
			c.unwatch(e, w)
		}
	}
	for _, subs := range c.topics {
		for _, s := range slices.Clone(subs) {
			c.unsubscribe(s)
		}
	}
	return nil
}

// wrap says which operation failed.
func wrap(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("memory: %s: %w", op, err)
}
