package host_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

// pump keeps a pool busy with n no-op attempts, as a worker would.
type pump struct {
	pool  *host.Pool
	left  atomic.Int64 // to hand over
	open  atomic.Int64 // handed over, not ended
	bad   atomic.Int64
	wake  chan struct{}
	ended chan struct{}
}

func (p *pump) Done(outcomes []plugin.Outcome) {
	for i := range outcomes {
		if outcomes[i].Kind == plugin.NotRun {
			p.left.Add(1)
		} else if outcomes[i].Kind != plugin.Success {
			p.bad.Add(1)
		}
	}
	p.open.Add(-int64(len(outcomes)))
	p.Ready()
}

func (p *pump) Ready() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pump) feed() {
	body := make([]byte, 200)
	copy(body, "noop ")
	attempt := plugin.Attempt{ID: "0190b6a0-0000-7000-8000-000000000000", Name: "noop", Epoch: 1, Queue: "bench", Header: make([]byte, 80), Body: body}
	for range p.wake {
		for {
			n := min(int64(p.pool.Free()), p.left.Load())
			if n == 0 {
				break
			}
			batch := make([]plugin.Attempt, n)
			for i := range batch {
				batch[i] = attempt
			}
			p.left.Add(-n)
			p.open.Add(n)
			p.pool.Start(batch)
		}
		if p.left.Load() == 0 && p.open.Load() == 0 {
			close(p.ended)
			return
		}
	}
}

func (p *pump) Enqueue(context.Context, plugin.Attempt, []plugin.NewTask) ([]string, error) {
	return nil, errors.New("not here")
}
func (p *pump) Progress(plugin.Attempt, plugin.Progress) {}
func (p *pump) SoftLimit(plugin.Attempt)                 {}
func (p *pump) Log(plugin.Attempt, plugin.LogRecord)     {}

func benchmark(b *testing.B, cfg host.Config) {
	cfg.Name, cfg.Command, cfg.Dir = "media", []string{os.Args[0], ""}, shortDir(b)
	p := &pump{wake: make(chan struct{}, 1), ended: make(chan struct{})}
	pool, err := host.New(cfg, p, hclog.NewNullLogger())
	if err != nil {
		b.Fatal(err)
	}
	p.pool = pool
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = pool.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for pool.Stats().State != "ok" {
		time.Sleep(time.Millisecond)
	}
	b.ResetTimer()
	p.left.Store(int64(b.N))
	go p.feed()
	p.Ready()
	<-p.ended
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	if p.bad.Load() > 0 {
		b.Errorf("%d attempts failed", p.bad.Load())
	}
}

func BenchmarkShared64(b *testing.B) {
	benchmark(b, host.Config{PerProcess: 64, SendAhead: 32, Processes: host.Processes{Max: 1}})
}

func BenchmarkShared64NoSendAhead(b *testing.B) {
	benchmark(b, host.Config{PerProcess: 64, SendAhead: -1, Processes: host.Processes{Max: 1}})
}

func BenchmarkIsolated(b *testing.B) {
	benchmark(b, host.Config{PerProcess: 1, SendAhead: 32, Processes: host.Processes{Max: 2}})
}

func BenchmarkIsolatedNoSendAhead(b *testing.B) {
	benchmark(b, host.Config{PerProcess: 1, SendAhead: -1, Processes: host.Processes{Max: 2}})
}
