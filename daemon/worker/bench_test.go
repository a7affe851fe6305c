package worker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
	"github.com/stemd/stem/plugin"
)

// instant is a runner that succeeds with everything at once, in batches, as a process with send-ahead does.
type instant struct {
	sink  plugin.Sink
	work  chan []plugin.Attempt
	taken chan struct{} // one token per attempt
}

func (r *instant) Manifest() plugin.Manifest {
	return plugin.Manifest{Name: "instant", Version: "1", Tasks: []stem.TaskSpec{{Name: "noop"}}}
}
func (r *instant) Free() int { return cap(r.taken) - len(r.taken) }
func (r *instant) Start(as []plugin.Attempt) {
	for range as {
		r.taken <- struct{}{}
	}
	r.work <- as
}
func (r *instant) Cancel(string, stem.Epoch, string, bool) {}
func (r *instant) Recall()                                 {}
func (r *instant) Stats() stem.HeartbeatPool               { return stem.HeartbeatPool{Up: 1} }

func (r *instant) Run(ctx context.Context) error {
	r.sink.Ready()
	result := []byte("null")
	for {
		select {
		case <-ctx.Done():
			return nil
		case as := <-r.work:
			now := time.Now()
			outcomes := make([]plugin.Outcome, len(as))
			for i := range as {
				outcomes[i] = plugin.Outcome{Attempt: as[i], Kind: plugin.Success, Result: result, Started: now, Finished: now}
				<-r.taken
			}
			r.sink.Done(outcomes)
		}
	}
}

// BenchmarkDrain measures what the worker itself costs: tasks enqueued before, a runner that costs nothing.
func BenchmarkDrain(b *testing.B) {
	for _, slots := range []int{16, 96, 512} {
		b.Run(fmt.Sprint("slots=", slots), func(b *testing.B) {
			store, err := memory.Open(b.Context(), "memory://")
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			body := make([]byte, 200)
			msgs := make([]stem.Message, b.N)
			for i := range msgs {
				if msgs[i], err = stem.BuildMessage(stem.DefaultNamespace, stem.NewHeader("noop"), body); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := store.Broker.Publish(b.Context(), msgs...); err != nil {
				b.Fatal(err)
			}
			run := &instant{work: make(chan []plugin.Attempt, slots), taken: make(chan struct{}, slots)}
			w, err := New(Config{Node: "bench", Boot: "b", Pools: []Pool{{Name: "p", New: func(s plugin.Sink) Runner { run.sink = s; return run }}}}, store, hclog.NewNullLogger())
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			done := make(chan error)
			go func() { done <- w.Run(b.Context()) }()
			last := msgs[len(msgs)-1].ID
			for status := range must(store.Results.Watch(b.Context(), last)) {
				if status.State.Terminal() {
					break
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
			w.Shutdown(Warm)
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
