package adaptertest

import (
	"context"
	"time"
)

func busCases() []testCase {
	cases := []testCase{
		{rule: "a hint reaches every subscriber of its topic and no other", run: func(r *rig) {
			a, b, other := r.subscribe(r.ctx, "topic"), r.subscribe(r.ctx, "topic"), r.subscribe(r.ctx, "topic2")
			r.noError(r.store.Bus.Send(r.ctx, "topic", []byte("one")))
			r.noError(r.store.Bus.Send(r.ctx, "topic2", []byte("two")))
			r.hint(a, "one")
			r.hint(b, "one")
			r.hint(other, "two")
		}},
		{rule: "a hint without subscribers is no error", run: func(r *rig) {
			r.noError(r.store.Bus.Send(r.ctx, "topic", []byte("one")))
		}},
		{rule: "a slow reader does not hold up the sender", run: func(r *rig) {
			r.subscribe(r.ctx, "topic")
			for range 5000 {
				r.noError(r.store.Bus.Send(r.ctx, "topic", []byte("x")))
			}
		}},
		{rule: "a subscription is closed when its context ends", run: func(r *rig) {
			ctx, cancel := context.WithCancel(r.ctx)
			ch := r.subscribe(ctx, "topic")
			cancel()
			for {
				select {
				case _, ok := <-ch:
					if !ok {
						return
					}
				case <-time.After(patience):
					r.Fatal("the subscription is still open")
				}
			}
		}},
	}
	for i := range cases {
		cases[i].live = true
	}
	return needing(bus, cases)
}

func (r *rig) subscribe(ctx context.Context, topic string) <-chan []byte {
	r.Helper()
	ch, err := r.store.Bus.Subscribe(ctx, topic)
	r.noError(err)
	return ch
}

func (r *rig) hint(ch <-chan []byte, want string) {
	r.Helper()
	select {
	case got := <-ch:
		if string(got) != want {
			r.Errorf("hint is %q, want %q", got, want)
		}
	case <-time.After(patience):
		r.Errorf("the hint %q did not arrive", want)
	}
}
