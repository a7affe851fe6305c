package adaptertest

import (
	"context"

	"github.com/stemd/stem"
)

func eventCases() []testCase {
	return []testCase{
		{rule: "a listener hears an event with its id, queue, name, payload, headers and meta", live: true, run: func(r *rig) {
			client := stem.NewClient(r.store)
			events := r.listen(client, "orders")
			id, err := client.Emit(r.ctx, "orders", " created ", map[string]int{"n": 7}, stem.HeaderValue("tenant", "t1"), stem.Meta("source", "api"))
			r.noError(err)
			e := r.event(events)
			if e.ID != id || e.Queue != "orders" || e.Name != "created" || string(e.Payload) != `{"n":7}` || e.Headers["tenant"] != "t1" ||
				string(e.Meta["source"]) != `"api"` || e.EmittedAt.IsZero() || e.Err != nil {
				r.Errorf("heard %+v", e)
			}
		}},
		{rule: "events of other queues are not heard", live: true, run: func(r *rig) {
			client := stem.NewClient(r.store)
			events := r.listen(client, "orders")
			r.emit(client, "invoices", "created")
			r.emit(client, "orders", "paid")
			if e := r.event(events); e.Queue != "orders" {
				r.Errorf("heard %+v", e)
			}
		}},
		{rule: "a listener for names hears exactly these", live: true, run: func(r *rig) {
			client := stem.NewClient(r.store)
			events := r.listen(client, "orders", "paid")
			for _, name := range []string{"created", "paid.late", "Paid", "paid"} {
				r.emit(client, "orders", name)
			}
			if e := r.event(events); e.Name != "paid" {
				r.Errorf("heard %+v", e)
			}
		}},
		{rule: "two listeners both hear an event", live: true, run: func(r *rig) {
			client := stem.NewClient(r.store)
			both := []<-chan stem.Event{r.listen(client, "orders"), r.listen(client, "orders")}
			r.emit(client, "orders", "created")
			for _, events := range both {
				if e := r.event(events); e.Name != "created" {
					r.Errorf("heard %+v", e)
				}
			}
		}},
		{rule: "a listener of another handle hears an event", live: true, needs: sibling, run: func(r *rig) {
			events := r.listen(stem.NewClient(r.sibling()), "orders")
			r.emit(stem.NewClient(r.store), "orders", "created")
			if e := r.event(events); e.Name != "created" {
				r.Errorf("heard %+v", e)
			}
		}},
		{rule: "an event that can not be read is told to the listener", live: true, run: func(r *rig) {
			client := stem.NewClient(r.store)
			events := r.listen(client, "orders", "created")
			_, n, err := client.Broadcast(r.ctx, "stem:events:orders", task, []int{1})
			r.noError(err)
			if e := r.event(events); n != 1 || e.Err == nil {
				r.Errorf("heard %+v", e)
			}
		}},
		{rule: "an event needs a name and a queue", run: func(r *rig) {
			client := stem.NewClient(r.store)
			for _, e := range [][2]string{{"", "n"}, {" ", "n"}, {"q", ""}, {"q", " "}} {
				if _, err := client.Emit(r.ctx, e[0], e[1], nil); err == nil {
					r.Errorf("%q was emitted", e)
				}
			}
		}},
	}
}

// listen listens until the end of the case, before its store is closed.
func (r *rig) listen(c *stem.Client, queue string, names ...string) <-chan stem.Event {
	r.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	events, err := c.Listen(ctx, queue, names...)
	r.noError(err)
	r.Cleanup(func() {
		cancel()
		for range events { // closed when the listener has ended
		}
	})
	return events
}

func (r *rig) emit(c *stem.Client, queue, name string) {
	r.Helper()
	_, err := c.Emit(r.ctx, queue, name, nil)
	r.noError(err)
}

func (r *rig) event(events <-chan stem.Event) stem.Event {
	r.Helper()
	select {
	case e, open := <-events:
		if !open {
			r.Fatal("the listener has ended")
		}
		return e
	case <-r.ctx.Done():
		r.Fatal("no event was heard")
	}
	return stem.Event{}
}
