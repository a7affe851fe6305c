package stem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A broadcast is a copy of one message in the private queue of each present subscriber. Subscribers are records that expire, so
// it works across processes on every store: each subscriber claims, retries and settles its copy like any task.

const (
	// subscriberTTL is how long a subscriber that does not renew still gets broadcasts.
	subscriberTTL = time.Minute
	// subscriberRenew is the time between two renewals.
	subscriberRenew = subscriberTTL / 3
	// subscriberAgain is when a renewal that failed is tried again: what is broadcast as soon as the store is back does not miss whoever
	// has expired meanwhile.
	subscriberAgain = time.Second
)

// Subscription is one subscriber of a channel.
type Subscription struct {
	store               Store
	channel, subscriber string
}

// Subscribe makes subscriber receive what is broadcast on channel from now on, in the queue Subscription.Queue. Let Keep run, or
// the subscription ends within a minute. Two subscriptions of one name share their copies.
func (c *Client) Subscribe(ctx context.Context, channel, subscriber string) (*Subscription, error) {
	if err := CheckName("channel", channel); err != nil {
		return nil, err
	}
	if err := CheckName("subscriber", subscriber); err != nil {
		return nil, err
	}
	s := &Subscription{store: c.store, channel: channel, subscriber: subscriber}
	if err := CheckName("channel", s.Queue()); err != nil {
		return nil, err
	}
	if err := s.renew(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Queue is where the copies arrive.
func (s *Subscription) Queue() string { return BroadcastPrefix + s.channel + ":" + s.subscriber }

// Keep renews the subscription until ctx ends, and then ends it: what has not been read is deleted. A renewal that fails is tried
// again and is no error unless it is the last thing that happened.
func (s *Subscription) Keep(ctx context.Context) error {
	tick := time.NewTimer(subscriberRenew)
	defer tick.Stop()
	var err error
	for {
		select {
		case <-tick.C:
			next := subscriberRenew
			if err = s.renew(ctx); err != nil {
				next = subscriberAgain
			}
			tick.Reset(next)
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), subscriberTTL)
			defer cancel()
			return errors.Join(err, s.end(end))
		}
	}
}

func (s *Subscription) renew(ctx context.Context) error {
	_, err := s.store.Records.Save(ctx, RecordWrite{Record: Record{RecordRef: s.ref()}, TTL: subscriberTTL})
	if err != nil {
		return fmt.Errorf("subscribe to channel %s: %w", s.channel, err)
	}
	return nil
}

func (s *Subscription) end(ctx context.Context) error {
	_, err := s.store.Records.Save(ctx, RecordWrite{Record: Record{RecordRef: s.ref()}, Op: DeleteRecord})
	if err == nil {
		if inspector, ok := s.store.Broker.(Inspector); ok {
			_, err = inspector.Purge(ctx, s.Queue())
		}
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("end subscription to channel %s: %w", s.channel, err)
	}
	return nil
}

func (s *Subscription) ref() RecordRef {
	return RecordRef{Kind: KindSubscriber, Part: s.channel, ID: s.subscriber}
}

// Broadcast publishes a copy of a task for each present subscriber of channel and says for how many. The copies carry the same
// envelope; their ids are derived from id, so a repeated broadcast of a chosen id reaches each subscriber once. A broadcast has no
// result and no unique key. With ErrUnreachable some subscribers did not get theirs: repeat it with the same id.
func (c *Client) Broadcast(ctx context.Context, channel, name string, args any, opts ...Option) (id string, subscribers int, err error) {
	s, m, err := c.build(ctx, Call{name, args, opts})
	if err != nil {
		return "", 0, fmt.Errorf("broadcast %s: %w", name, err)
	}
	copies, err := c.copies(ctx, channel, m)
	if err != nil {
		return "", 0, fmt.Errorf("broadcast %s on channel %s: %w", name, channel, err)
	}
	for part := range slices.Chunk(copies, publishBatch) {
		published, failed := c.store.Broker.Publish(ctx, part...)
		for _, p := range published {
			if p.Err == nil {
				subscribers++
			} else {
				failed = p.Err
			}
		}
		if err = cmp.Or(failed, err); failed != nil && !errors.Is(failed, ErrUnreachable) {
			break
		}
	}
	if err != nil {
		return m.ID, subscribers, fmt.Errorf("broadcast %s on channel %s: %w", name, channel, err)
	}
	c.after(ctx, &s.Header, Published{State: Accepted, ID: m.ID})
	return m.ID, subscribers, nil
}

func (c *Client) copies(ctx context.Context, channel string, m Message) ([]Message, error) {
	m.Unique = Reservation{}
	var out []Message
	for q := (RecordQuery{Kind: KindSubscriber, Part: &channel, Limit: 1000}); ; {
		page, err := c.store.Records.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Items {
			s := Subscription{channel: channel, subscriber: r.ID}
			one := m
			one.ID, one.Queue = ChildID(m.ID, r.ID), s.Queue()
			out = append(out, one)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out, nil
		}
	}
}
