package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/host"
)

// deaths is the sink of a pool whose processes are killed.
type deaths struct {
	done  chan plugin.Outcome
	ready chan struct{}
}

func (d *deaths) Done(outcomes []plugin.Outcome) {
	for _, o := range outcomes {
		d.done <- o
	}
}

func (d *deaths) Ready() {
	select {
	case d.ready <- struct{}{}:
	default:
	}
}
func (d *deaths) Progress(plugin.Attempt, plugin.Progress) {}
func (d *deaths) SoftLimit(plugin.Attempt)                 {}
func (d *deaths) Log(plugin.Attempt, plugin.LogRecord)     {}
func (d *deaths) Enqueue(context.Context, plugin.Attempt, []plugin.NewTask) ([]string, error) {
	return nil, errors.New("not here")
}

// dying runs one chaos task at a time in a pool of one process, n times, and measures each round in milliseconds.
func dying(ctx context.Context, s setting, spares, n int, round func(p *host.Pool, d *deaths, start func(name, body string, hard time.Duration)) (float64, error)) (result, error) {
	if s.n > 0 {
		n = s.n
	}
	d := &deaths{done: make(chan plugin.Outcome, 1), ready: make(chan struct{}, 1)}
	pool, err := host.New(host.Config{
		Name: "chaos", Plugin: "chaos", Command: []string{filepath.Join(s.bin, "chaos")}, Dir: s.dir, Processes: host.Processes{Min: 1, Max: 1, Spare: spares},
	}, d, hclog.NewNullLogger())
	if err != nil {
		return result{}, err
	}
	life, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(life) }()
	var took []float64
	i := 0
	start := func(name, body string, hard time.Duration) {
		i++
		h := stem.NewHeader(name, stem.TaskID(fmt.Sprint("t", i)))
		m, buildErr := stem.BuildMessage(stem.DefaultNamespace, h, []byte(body))
		if buildErr != nil {
			panic(buildErr)
		}
		for pool.Free() == 0 {
			<-d.ready
		}
		pool.Start([]plugin.Attempt{{
			ID: h.ID, Name: name, Epoch: stem.Epoch(i), Queue: queue, Header: m.Envelope.Header, Body: m.Envelope.Body, Hard: hard,
		}})
	}
	for range n {
		ms, err := round(pool, d, start)
		if err != nil {
			stop()
			return result{}, errors.Join(err, <-ended)
		}
		took = append(took, ms)
	}
	stop()
	if err := <-ended; err != nil {
		return result{}, err
	}
	slices.Sort(took)
	return result{N: n, P50: took[n/2], P99: took[n*99/100]}, nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// overLimit is how long after its hard limit a spinning handler is dead, its stacks written before that.
func overLimit(ctx context.Context, s setting) (result, error) {
	const limit = 20 * time.Millisecond
	return dying(ctx, s, 0, 200, func(_ *host.Pool, d *deaths, start func(string, string, time.Duration)) (float64, error) {
		start("chaos.spin", "{}", limit)
		o := <-d.done
		if o.Error == nil || o.Error.Class != stem.ClassTimeout {
			return 0, fmt.Errorf("want a timeout, got %+v", o.Error)
		}
		return millis(o.Finished.Sub(o.Started) - limit), nil
	})
}

// noticed is how long after a SIGKILL from outside the end of the attempt is reported.
func noticed(ctx context.Context, s setting) (result, error) {
	return dying(ctx, s, 0, 200, func(p *host.Pool, d *deaths, start func(string, string, time.Duration)) (float64, error) {
		start("chaos.noop", "{}", 0) // so that its death is not one in a row
		<-d.done
		start("chaos.ignore", `{"ms":60000}`, 0)
		time.Sleep(5 * time.Millisecond) // it has begun
		killed := time.Now()
		if err := syscall.Kill(p.Stats().Pids[0], syscall.SIGKILL); err != nil {
			return 0, err
		}
		<-d.done
		return millis(time.Since(killed)), nil
	})
}

// replaced is how long after a death the next task starts, in a new process or, with spares, in one of these.
func replaced(spares int) func(context.Context, setting) (result, error) {
	return func(ctx context.Context, s setting) (result, error) {
		return dying(ctx, s, spares, 200, func(p *host.Pool, d *deaths, start func(string, string, time.Duration)) (float64, error) {
			for p.Stats().Spares < spares {
				time.Sleep(time.Millisecond)
			}
			start("chaos.exit", `{"code":3}`, 0)
			dead := (<-d.done).Finished
			start("chaos.noop", "{}", 0)
			o := <-d.done
			return millis(o.Started.Sub(dead)), nil
		})
	}
}
