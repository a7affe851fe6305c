package stem

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Status is what is known of a task now; ErrNotFound when nothing is.
func (c *Client) Status(ctx context.Context, id string) (Status, error) {
	loaded, err := c.store.Results.Load(ctx, id)
	if err != nil {
		return Status{}, fmt.Errorf("status of task %s: %w", id, err)
	}
	if loaded[0] == nil {
		return Status{}, fmt.Errorf("status of task %s: %w", id, ErrNotFound)
	}
	return *loaded[0], nil
}

// List returns statuses, newest first.
func (c *Client) List(ctx context.Context, q StatusQuery) (StatusPage, error) {
	return c.store.Results.List(ctx, q)
}

// CancelOptions say how a task is cancelled. The zero value stops it only if it has not started.
type CancelOptions struct {
	Reason    string
	Requester string // default: the client's producer name
	Terminate bool   // also cancel the context of a running handler
	Force     bool   // also kill its process
}

// revocationTTL is how long a cancellation is remembered; a task that waits longer is not stopped by it.
const revocationTTL = 30 * 24 * time.Hour

// Cancel asks that a task does not run (again). It is durable before any daemon hears of it. ErrNotFound when the task is
// unknown; a task that has ended stays as it is and is reported as an *OptionError.
func (c *Client) Cancel(ctx context.Context, id string, o CancelOptions) error {
	s, err := c.Status(ctx, id)
	if err != nil {
		return err
	}
	if s.State.Terminal() {
		return &OptionError{"cancel", fmt.Sprintf("task %s has already %s", id, s.State)}
	}
	if o.Requester == "" {
		o.Requester = c.producer
	}
	now := time.Now().UTC()
	body, err := json.Marshal(Revocation{
		TaskID: id, Terminate: o.Terminate || o.Force, Force: o.Force, Reason: o.Reason, Requester: o.Requester, IssuedAt: now,
	})
	if err != nil {
		return fmt.Errorf("cancel task %s: %w", id, err)
	}
	record := Record{RecordRef: RecordRef{Kind: KindRevocation, ID: id}, Body: body}
	if _, err := c.store.Records.Save(ctx, RecordWrite{Record: record, TTL: revocationTTL}); err != nil {
		return fmt.Errorf("cancel task %s: %w", id, err)
	}
	if c.store.Bus != nil {
		// Only a hint: daemons also look by themselves.
		_ = c.store.Bus.Send(ctx, TopicRevocations, []byte(id))
	}
	return nil
}

// declarations caches the tasks that live daemons declare.
type declarations struct {
	mu     sync.Mutex
	tasks  map[string]TaskSpec
	read   time.Time
	failed time.Time // when they could last not be read for an enqueue
}

const (
	// declarationsTTL bounds how long a new manifest stays unseen; a task enqueued to the wrong queue meanwhile is moved home.
	declarationsTTL = 5 * time.Second
	// declarationsPatience is how long an enqueue waits for them.
	declarationsPatience = 2 * time.Second
)

// Declared lists the tasks that live daemons declare, by name. It may be a few seconds old.
func (c *Client) Declared(ctx context.Context) (map[string]TaskSpec, error) {
	c.declared.mu.Lock()
	defer c.declared.mu.Unlock()
	return c.declared.load(ctx, c.store)
}

// load reads them unless they are known; d.mu is held.
func (d *declarations) load(ctx context.Context, store Store) (map[string]TaskSpec, error) {
	if d.tasks != nil && time.Since(d.read) < declarationsTTL {
		return d.tasks, nil
	}
	manifests, err := Manifests(ctx, store)
	if err != nil {
		return nil, err
	}
	tasks := map[string]TaskSpec{}
	for _, m := range manifests {
		for _, t := range m.Tasks {
			tasks[t.Name] = t
		}
	}
	d.tasks, d.read = tasks, time.Now()
	return tasks, nil
}

// homeQueue is the queue that live daemons declare for a task; empty: none that is known. While that can not be read it goes by what was
// declared last: a task that comes into another queue is moved home.
func (c *Client) homeQueue(ctx context.Context, name string) string {
	d := &c.declared
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.store.Records == nil || time.Since(d.failed) < declarationsTTL {
		return d.tasks[name].Queue
	}
	soon, cancel := context.WithTimeout(ctx, declarationsPatience)
	defer cancel()
	if _, err := d.load(soon, c.store); err != nil && ctx.Err() == nil {
		d.failed = time.Now()
	}
	return d.tasks[name].Queue
}

// Manifests lists what the plugins of live daemons declare, by node and plugin.
func Manifests(ctx context.Context, store Store) ([]PluginManifest, error) {
	return documents[PluginManifest](ctx, store, KindManifest)
}

// Heartbeats lists the daemons that are live, by node.
func Heartbeats(ctx context.Context, store Store) ([]Heartbeat, error) {
	return documents[Heartbeat](ctx, store, KindHeartbeat)
}

func documents[T any](ctx context.Context, store Store, kind string) ([]T, error) {
	var records []Record
	var whole string // they all lie in the one part without a name
	for q := (RecordQuery{Kind: kind, Part: &whole, Limit: 1000}); ; {
		page, err := store.Records.List(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("list %s records: %w", kind, err)
		}
		records = append(records, page.Items...)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	slices.SortFunc(records, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
	out := make([]T, 0, len(records))
	for _, r := range records {
		var doc T
		if err := json.Unmarshal(r.Body, &doc); err != nil {
			return nil, fmt.Errorf("%s record %s: %w", kind, r.ID, err)
		}
		out = append(out, doc)
	}
	return out, nil
}
