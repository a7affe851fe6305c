package stem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stemd/stem/internal/collect"
)

const (
	// publishBatch is the most messages in one round trip.
	publishBatch = 500
	// publishAbreast is how many round trips concurrent calls of Enqueue share at a time: while the store is at work on one, the next is made.
	publishAbreast = 2
)

// Client enqueues tasks and looks up what became of them. It is safe for concurrent use and owns nothing: close the store when
// done with it.
type Client struct {
	store    Store
	hooks    []Hooks
	producer string
	publish  *collect.Collector[Message, Published]
	declared declarations
}

// NewClient makes a client of a store.
func NewClient(store Store, opts ...ClientOption) *Client {
	c := &Client{store: store, producer: producerName()}
	c.publish = collect.NewCollector(publishBatch, publishAbreast, func(ctx context.Context, msgs []Message) ([]Published, error) {
		return store.Broker.Publish(ctx, msgs...)
	})
	for _, opt := range opts {
		opt(c)
	}
	return c
}

func producerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return filepath.Base(os.Args[0]) + "@" + host
}

// Enqueue publishes one task by name. Concurrent calls share round trips. When ctx ends first, as soon as the store notices, the
// error is its error and the task may be published all the same: that, as whatever else leaves it open, is an UnconfirmedError, which has the
// id to repeat it with. Arguments are encoded as JSON.
//
// An id that exists already is not an error: the Handle is that of the existing task, with Duplicate.
func (c *Client) Enqueue(ctx context.Context, name string, args any, opts ...Option) (*Handle, error) {
	s, m, err := c.build(ctx, Call{name, args, opts})
	if err != nil {
		return nil, fmt.Errorf("enqueue %s: %w", name, err)
	}
	p, err := c.send(ctx, m, s.publishRetry)
	if err != nil {
		err = &UnconfirmedError{m.ID, err}
	} else {
		c.after(ctx, &s.Header, p)
		err = p.Err
	}
	if err != nil {
		return nil, fmt.Errorf("enqueue %s: %w", name, err)
	}
	return c.handle(p), nil
}

func (c *Client) send(ctx context.Context, m Message, retry *RetryPolicy) (Published, error) {
	if retry == nil {
		return c.try(ctx, m)
	}
	return c.insist(ctx, m, retry)
}

// try publishes a message once. What is not confirmed is an error.
func (c *Client) try(ctx context.Context, m Message) (Published, error) {
	p, err := c.publish.Do(ctx, m)
	if err == nil && p.State == Unconfirmed {
		err = p.Err
	}
	return own(m, p), err
}

func (c *Client) insist(ctx context.Context, m Message, retry *RetryPolicy) (p Published, err error) {
	err = retryPublish(ctx, retry, func() error {
		p, err = c.try(ctx, m)
		m = again(m)
		return err
	})
	return p, err
}

// again is a message that may have been accepted already, and may have moved since.
func again(m Message) Message {
	m.State.Epoch = max(m.State.Epoch, 1)
	return m
}

// own is what became of a message. A generated id is nobody else's: where it is known already, an earlier try was accepted, ours or the
// store's own, and its answer did not come.
func own(m Message, p Published) Published {
	if p.State == Duplicate && m.GeneratedID && p.ID == m.ID {
		p.State = Accepted
	}
	return p
}

// EnqueueResult is what became of one Call of EnqueueMany: an id, or an error. Where that is not known the error is an UnconfirmedError, and
// ID is the id to repeat the call with.
type EnqueueResult struct {
	ID        string
	Duplicate bool
	Err       error
}

// EnqueueMany publishes tasks in large batches and returns an outcome for each call, in order. A call that can not be published
// does not keep the others back; of one that needs a part of the store that can not be reached the error is ErrUnreachable, and it may
// be published all the same. The error of the whole is for a store that stopped answering: outcomes not known by then carry it too. While
// one batch is on its way the next is made.
func (c *Client) EnqueueMany(ctx context.Context, calls ...Call) ([]EnqueueResult, error) {
	results := make([]EnqueueResult, len(calls))
	sent := make(chan error, 1)
	sent <- nil
	for start := 0; start < len(calls); start += publishBatch {
		end := min(start+publishBatch, len(calls))
		b := c.buildBatch(ctx, calls[start:end], results[start:end])
		if err := <-sent; err != nil {
			return results, unsent(results, start, err)
		}
		if end < len(calls) {
			go func() { sent <- c.sendBatch(ctx, b) }()
		} else {
			sent <- c.sendBatch(ctx, b)
		}
	}
	return results, <-sent
}

// unsent notes an error for the calls from start on that have none of their own.
func unsent(results []EnqueueResult, start int, err error) error {
	for i := start; i < len(results); i++ {
		if results[i].Err == nil {
			results[i].Err = err
		}
	}
	return err
}

// callBatch is calls that were made into messages, with the places of their results.
type callBatch struct {
	headers []*Header
	msgs    []Message
	results []*EnqueueResult
	retry   *RetryPolicy
}

func (c *Client) buildBatch(ctx context.Context, calls []Call, results []EnqueueResult) callBatch {
	b := callBatch{make([]*Header, 0, len(calls)), make([]Message, 0, len(calls)), make([]*EnqueueResult, 0, len(calls)), nil}
	for i, call := range calls {
		s, m, err := c.build(ctx, call)
		if err != nil {
			results[i].Err = fmt.Errorf("enqueue %s: %w", call.Name, err)
			continue
		}
		if s.publishRetry != nil {
			b.retry = s.publishRetry
		}
		b.headers, b.msgs, b.results = append(b.headers, &s.Header), append(b.msgs, m), append(b.results, &results[i])
	}
	return b
}

func (c *Client) sendBatch(ctx context.Context, b callBatch) error {
	if len(b.msgs) == 0 {
		return nil
	}
	published, err := c.publishMany(ctx, b.msgs, b.retry)
	for i, r := range b.results {
		p := Published{State: Unconfirmed, Err: err}
		if err == nil {
			p = published[i]
		}
		if p.State == Unconfirmed {
			id := b.msgs[i].ID
			*r = EnqueueResult{ID: id, Err: fmt.Errorf("enqueue: %w", &UnconfirmedError{id, p.Err})}
			continue
		}
		c.after(ctx, b.headers[i], p)
		*r = EnqueueResult{ID: p.ID, Duplicate: p.State == Duplicate, Err: p.Err}
	}
	if err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	return nil
}

// publishMany publishes a batch, and again those of it that were not confirmed. The error is for one of which nothing is known.
func (c *Client) publishMany(ctx context.Context, msgs []Message, retry *RetryPolicy) ([]Published, error) {
	var published []Published
	rest, at := msgs, []int(nil) // of msgs; nil: all
	err := retryPublish(ctx, retry, func() error {
		out, err := c.store.Broker.Publish(ctx, rest...)
		for n, p := range out {
			out[n] = own(rest[n], p)
		}
		if published == nil {
			published = out
		}
		var left []Message
		var where []int
		for n, m := range rest {
			i := n
			if at != nil {
				i = at[n]
			}
			if err == nil {
				published[i] = out[n]
			}
			if err != nil || out[n].State == Unconfirmed {
				left, where = append(left, again(m)), append(where, i)
			}
		}
		if err == nil && len(where) > 0 {
			err = published[where[0]].Err
		}
		rest, at = left, where
		return err
	})
	if published != nil {
		return published, nil
	}
	return nil, err
}

// build turns a call into a message; the settings hold its header.
func (c *Client) build(ctx context.Context, call Call) (*settings, Message, error) {
	s := settle(call.Options)
	if s.err != nil {
		return s, Message{}, s.err
	}
	body, err := encodeArgs(call.Args)
	if err != nil {
		return s, Message{}, err
	}
	h := s.head(call.Name)
	h.Producer = c.producer
	if h.Options.Queue == nil {
		if queue := c.homeQueue(ctx, call.Name); queue != "" {
			h.Options.Queue = &queue
		}
	}
	if err := c.before(ctx, h); err != nil {
		return s, Message{}, err
	}
	m, err := BuildMessage(c.store.Info.Namespace, h, body)
	return s, m, err
}

// NewHeader makes a header of options; delays and expiries count from now. BuildMessage fills in the rest.
func NewHeader(name string, opts ...Option) *Header { return settle(opts).head(name) }

// head completes the header for a task of this name that is enqueued now.
func (s *settings) head(name string) *Header {
	h := &s.Header
	h.Name, h.EnqueuedAt = name, time.Now().UTC()
	if s.delay > 0 {
		h.NotBefore = h.EnqueuedAt.Add(s.delay)
	}
	if !s.eta.IsZero() {
		h.NotBefore = s.eta.UTC()
	}
	if s.expiresIn > 0 {
		h.ExpiresAt = h.EnqueuedAt.Add(s.expiresIn)
	}
	return h
}

// NoParent says whether opts hold AddToParent(false).
func NoParent(opts ...Option) bool { return settle(opts).noParent }

func encodeArgs(args any) ([]byte, error) {
	if raw, ok := args.(json.RawMessage); ok {
		if !json.Valid(raw) {
			return nil, errors.New("arguments are not valid JSON")
		}
		return raw, nil
	}
	b, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("arguments: %w", err)
	}
	return b, nil
}

// retryPublish calls publish again after a failure, as a policy says; nil: never. Refusals are not failures.
func retryPublish(ctx context.Context, p *RetryPolicy, publish func() error) error {
	const defaultRetries = 3
	for attempt := 0; ; attempt++ {
		err := publish()
		if err == nil || p == nil || ctx.Err() != nil {
			return err
		}
		if retries := p.MaxRetries; attempt >= defaultRetries && retries == nil || retries != nil && attempt >= *retries {
			return err
		}
		select {
		case <-time.After(p.Delay(attempt)):
		case <-ctx.Done():
			return err
		}
	}
}
