package stem

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	eventTask    = "__stem.queue.event__"
	eventChannel = "stem:events:"
	// eventBatch is how many events a listener takes at once.
	eventBatch = 10
	// eventWait is how long one claim of a listener waits.
	eventWait = 10 * time.Second
)

// Event is something that was said on a queue's channel.
type Event struct {
	ID        string
	Queue     string
	Name      string
	Payload   json.RawMessage
	Headers   map[string]string
	Meta      map[string]json.RawMessage
	EmittedAt time.Time
	Err       error // the event could not be read; only ID is set
}

// eventBody is the arguments of an event's envelope.
type eventBody struct {
	EventName string          `json:"eventName"`
	Queue     string          `json:"queue"`
	Payload   json.RawMessage `json:"payload"`
	EmittedAt time.Time       `json:"emittedAt"`
}

// Emit says an event to everybody who listens to a queue's channel now, in any process. Events are not kept for later listeners.
func (c *Client) Emit(ctx context.Context, queue, name string, payload any, opts ...Option) (string, error) {
	queue, name = strings.TrimSpace(queue), strings.TrimSpace(name)
	if err := CheckName("queue", queue); err != nil {
		return "", fmt.Errorf("emit: %w", err)
	}
	if err := CheckName("event name", name); err != nil {
		return "", fmt.Errorf("emit: %w", err)
	}
	encoded, err := encodeArgs(payload)
	if err != nil {
		return "", fmt.Errorf("emit %s: %w", name, err)
	}
	body := eventBody{EventName: name, Queue: queue, Payload: encoded, EmittedAt: time.Now().UTC()}
	id, _, err := c.Broadcast(ctx, eventChannel+queue, eventTask, body, opts...)
	return id, err
}

// Listen delivers the events of a queue's channel, those of the given names or all, until ctx ends; then the channel is closed. An
// event is done once it was delivered. A listener that does not read loses what is older than StoreOptions.Events.
func (c *Client) Listen(ctx context.Context, queue string, names ...string) (<-chan Event, error) {
	me := "listener-" + NewID()
	s, err := c.Subscribe(ctx, eventChannel+strings.TrimSpace(queue), me)
	if err != nil {
		return nil, fmt.Errorf("listen to queue %s: %w", queue, err)
	}
	out := make(chan Event)
	go func() {
		defer close(out)
		kept := make(chan struct{})
		go func() {
			defer close(kept)
			_ = s.Keep(ctx) // a subscription that can not be ended expires
		}()
		c.listen(ctx, s, me, names, out)
		<-kept
	}()
	return out, nil
}

func (c *Client) listen(ctx context.Context, s *Subscription, owner string, names []string, out chan<- Event) {
	claim := Claim{Queues: []QueueLimit{{Queue: s.Queue()}}, Max: eventBatch, Wait: eventWait, Owner: owner + "/" + owner}
	for ctx.Err() == nil {
		ds, err := c.store.Broker.Claim(ctx, claim)
		if err != nil {
			select {
			case <-time.After(time.Second): // the store may come back
			case <-ctx.Done():
			}
			continue
		}
		done := make([]Settlement, 0, len(ds))
		for _, d := range ds {
			if e := readEvent(d); len(names) == 0 || e.Err != nil || slices.Contains(names, e.Name) {
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			}
			done = append(done, Settlement{Receipt: d.Receipt, Kind: Done})
		}
		if len(done) > 0 {
			// An event that can not be settled is delivered again.
			_, _ = c.store.Broker.Settle(ctx, done...)
		}
	}
}

func readEvent(d Delivery) Event {
	h, err := DecodeHeader(d.Envelope.Header)
	if err != nil {
		return Event{ID: d.ID, Err: fmt.Errorf("event %s: %w", d.ID, err)}
	}
	var body eventBody
	if err := json.Unmarshal(d.Envelope.Body, &body); err != nil {
		return Event{ID: h.ID, Err: fmt.Errorf("event %s: %w", h.ID, err)}
	}
	return Event{
		ID: h.ID, Queue: body.Queue, Name: body.EventName, Payload: body.Payload, Headers: h.Headers, Meta: h.Meta, EmittedAt: body.EmittedAt,
	}
}
