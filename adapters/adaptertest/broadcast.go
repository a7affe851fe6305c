package adaptertest

import (
	"context"

	"github.com/stemd/stem"
)

func broadcastCases() []testCase {
	return []testCase{
		{rule: "a broadcast reaches every present subscriber of its channel once, also those that consume a queue as well", run: func(r *rig) {
			client := stem.NewClient(r.store)
			first, second, other := r.subscriber(client, "news", "w1"), r.subscriber(client, "news", "w2"), r.subscriber(client, "olds", "w1")
			id, n, err := client.Broadcast(r.ctx, "news", task, map[string]int{"n": 1})
			r.noError(err)
			if n != 2 {
				r.Errorf("reached %d, want 2", n)
			}
			r.add("queued")
			for _, s := range []*stem.Subscription{first, second} {
				ds := r.claim(10, s.Queue(), queue)
				if len(ds) == 0 || ds[0].Name != task || string(ds[0].Envelope.Body) != `{"n":1}` {
					r.Fatalf("%s got %v", s.Queue(), ids(ds))
				}
				h, err := stem.DecodeHeader(ds[0].Envelope.Header)
				r.noError(err)
				if h.ID != id {
					r.Errorf("the envelope is of %s, want %s", h.ID, id)
				}
			}
			if ds := r.claim(10, other.Queue()); len(ds) > 0 {
				r.Errorf("another channel got %v", ids(ds))
			}
		}},
		{rule: "a broadcast is redelivered to its subscriber until it is settled", run: func(r *rig) {
			client := stem.NewClient(r.store)
			s := r.subscriber(client, "news", "w1")
			_, _, err := client.Broadcast(r.ctx, "news", task, nil)
			r.noError(err)
			c := r.ask(1, s.Queue())
			c.Lease = r.lease
			r.claimWith(c)
			r.pass(r.lease)
			d := r.one(s.Queue())
			r.settle(stem.Settlement{Receipt: d.Receipt, Kind: stem.Done})
			r.inOrder(ids(r.claim(1, s.Queue())))
		}},
		{rule: "a repeated broadcast of a chosen id reaches each subscriber once", run: func(r *rig) {
			client := stem.NewClient(r.store)
			s := r.subscriber(client, "news", "w1")
			for range 2 {
				_, _, err := client.Broadcast(r.ctx, "news", task, nil, stem.TaskID("b"))
				r.noError(err)
			}
			if ds := r.claim(10, s.Queue()); len(ds) != 1 {
				r.Errorf("got %v", ids(ds))
			}
		}},
		{rule: "a broadcast without subscribers reaches nobody and is no error", run: func(r *rig) {
			if _, n, err := stem.NewClient(r.store).Broadcast(r.ctx, "news", task, nil); n != 0 || err != nil {
				r.Errorf("reached %d, %v", n, err)
			}
		}},
		{rule: "a subscription that ends gets nothing more, and leaves nothing behind", run: func(r *rig) {
			client := stem.NewClient(r.store)
			s := r.subscriber(client, "news", "w1")
			_, _, err := client.Broadcast(r.ctx, "news", task, nil)
			r.noError(err)
			over, cancel := context.WithCancel(r.ctx)
			cancel()
			r.noError(s.Keep(over))
			if _, n, err := client.Broadcast(r.ctx, "news", task, nil); n != 0 || err != nil {
				r.Errorf("reached %d, %v", n, err)
			}
			if r.caps.Inspector {
				r.inOrder(ids(r.claim(10, s.Queue())))
				if items := r.list(stem.StatusQuery{}); len(items) > 0 {
					r.Errorf("kept %v", statusIDs(items))
				}
			}
		}},
		{rule: "a subscriber that does not renew is forgotten", needs: settable, run: func(r *rig) {
			client := stem.NewClient(r.store)
			r.subscriber(client, "news", "w1")
			r.pass(2 * stem.DefaultLease)
			if _, n, err := client.Broadcast(r.ctx, "news", task, nil); n != 0 || err != nil {
				r.Errorf("reached %d, %v", n, err)
			}
		}},
		{rule: "Maintain deletes broadcasts that were not read for too long, and counts them", needs: maintainer, run: func(r *rig) {
			if r.clock == nil {
				return // the retention is that of the options
			}
			client := stem.NewClient(r.store)
			s := r.subscriber(client, "news", "w1")
			_, _, err := client.Broadcast(r.ctx, "news", task, nil)
			r.noError(err)
			r.pass(stem.DefaultEvents / 2)
			r.subscriber(client, "news", "w1")
			_, _, err = client.Broadcast(r.ctx, "news", task, nil)
			r.noError(err)
			r.add("queued")
			r.pass(stem.DefaultEvents / 2)
			if m := r.maintain(); m.Events != 1 {
				r.Errorf("deleted %+v", m)
			}
			if ds := r.claim(10, s.Queue()); len(ds) != 1 {
				r.Errorf("left are %v", ids(ds))
			}
			r.claims("queued")
		}},
	}
}

func (r *rig) subscriber(c *stem.Client, channel, name string) *stem.Subscription {
	r.Helper()
	s, err := c.Subscribe(r.ctx, channel, name)
	r.noError(err)
	return s
}
