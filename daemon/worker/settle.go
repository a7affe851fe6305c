package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

const (
	// settleBatch is the most settlements in one round trip.
	settleBatch = 512
	// maxOutcomes is how many outcomes may wait for a store that does not answer before no more is dispatched.
	maxOutcomes = 10_000
	// flushWithin is how long a stop waits for a store that does not answer.
	flushWithin = 10 * time.Second
)

// settler writes settlements in batches and in order. It does not give up while the store does not answer; those that need a part of it
// that does not wait apart and hold up no other. Safe for concurrent use.
type settler struct {
	w         *Worker
	ctx       context.Context // ends when the worker gives up
	waiting   atomic.Int64
	abandoned atomic.Int64
	collector *adapters.Collector[stem.Settlement, error]
	again     *adapters.Collector[stem.Settlement, error] // those that wait for a part of the store
}

func newSettler(ctx context.Context, w *Worker) *settler {
	s := &settler{w: w, ctx: ctx}
	s.collector, s.again = adapters.NewCollector(settleBatch, s.write), adapters.NewCollector(settleBatch, s.repeat)
	return s
}

// add hands a settlement over. done is called once, with nil when it is written, and must not block.
func (s *settler) add(x stem.Settlement, done func(error)) {
	s.waiting.Add(1)
	s.hand(s.collector, x, done)
}

func (s *settler) hand(c *adapters.Collector[stem.Settlement, error], x stem.Settlement, done func(error)) {
	c.Add(x, func(refused, failed error) {
		if failed == nil && errors.Is(refused, stem.ErrUnreachable) {
			s.w.partOutage.failed(refused, "what needs it waits, all else goes on")
			s.hand(s.again, x, done)
			return
		}
		if s.waiting.Add(-1) == maxOutcomes-1 {
			s.w.wakePools() // they stopped for this
		}
		if failed != nil {
			s.abandoned.Add(1)
			refused = failed
		}
		done(refused)
	})
}

// repeat gives settlements again to a part of the store that did not answer.
func (s *settler) repeat(_ context.Context, batch []stem.Settlement) ([]error, error) {
	if !pause(s.ctx, retryLast, nil) {
		return nil, s.ctx.Err()
	}
	errs, err := s.w.store.Broker.Settle(s.ctx, batch...)
	if err != nil {
		if s.ctx.Err() != nil {
			return nil, err
		}
		errs = repeated(len(batch), fmt.Errorf("%w: %w", stem.ErrUnreachable, err))
	}
	if !slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, stem.ErrUnreachable) }) {
		s.w.partOutage.over()
	}
	return errs, nil
}

// write is the collector's.
func (s *settler) write(_ context.Context, batch []stem.Settlement) ([]error, error) {
	retry := newBackoff()
	for {
		errs, err := s.w.store.Broker.Settle(s.ctx, batch...)
		if errors.Is(err, stem.ErrUnreachable) && s.ctx.Err() == nil { // it may be just these
			return repeated(len(batch), err), nil
		}
		if err == nil {
			s.w.settleOutage.over()
			return errs, nil
		}
		if s.ctx.Err() == nil {
			n, _ := s.w.inflight.running()
			s.w.settleOutage.failed(err, fmt.Sprintf("claims stopped, %d tasks go on, %d outcomes are kept", n, s.waiting.Load()))
		}
		if !pause(s.ctx, retry.NextBackOff(), nil) {
			return nil, err
		}
		// Whatever the leases did meanwhile: those that nobody took are ours again before anything else happens.
		s.w.renew(s.ctx, true)
	}
}

func repeated(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// flush waits until everything is written, or calls giveUp after a while.
func (s *settler) flush(giveUp context.CancelFunc) {
	timer := time.AfterFunc(flushWithin, giveUp)
	s.collector.Wait()
	s.again.Wait()
	timer.Stop()
}

func isLeaseLost(err error) bool { return errors.Is(err, stem.ErrLeaseLost) }
