package adapters_test

import (
	"context"
	"errors"
	"sync"

	"github.com/stemd/stem"
)

var errDead = errors.New("the process is dead")

// process counts the calls that one process makes to its stores and dies at one of them: the call is carried out or not, and
// nothing works afterwards.
type process struct {
	mu      sync.Mutex
	calls   int
	dieAt   int  // 0: never
	perform bool // the call it dies at still reaches the store
	dead    bool
	die     func() // nil: nothing works afterwards, and that is all
}

func call[T any](p *process, do func() (T, error)) (T, error) {
	p.mu.Lock()
	p.calls++
	if p.calls == p.dieAt {
		p.dead = true
		if p.perform {
			_, _ = do()
		}
		if p.die != nil {
			p.die()
		}
	}
	dead := p.dead
	p.mu.Unlock()
	if dead {
		var none T
		return none, errDead
	}
	return do()
}

// over is a store as the process sees it.
func (p *process) over(s stem.Store) stem.Store {
	return stem.Store{Broker: dyingBroker{p, s.Broker}, Results: dyingResults{s.Results, p}, Records: dyingRecords{s.Records, p}}
}

type dyingBroker struct {
	p *process
	b stem.Broker
}

func (d dyingBroker) Publish(ctx context.Context, m ...stem.Message) ([]stem.Published, error) {
	return call(d.p, func() ([]stem.Published, error) { return d.b.Publish(ctx, m...) })
}

func (d dyingBroker) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	return call(d.p, func() ([]stem.Delivery, error) { return d.b.Claim(ctx, c) })
}

func (d dyingBroker) Extend(ctx context.Context, l ...stem.Lease) ([]stem.Receipt, error) {
	return call(d.p, func() ([]stem.Receipt, error) { return d.b.Extend(ctx, l...) })
}

func (d dyingBroker) Settle(ctx context.Context, s ...stem.Settlement) ([]error, error) {
	return call(d.p, func() ([]error, error) { return d.b.Settle(ctx, s...) })
}

type dyingResults struct {
	stem.Results
	p *process
}

func (d dyingResults) Save(ctx context.Context, w ...stem.StatusWrite) error {
	_, err := call(d.p, func() (struct{}, error) { return struct{}{}, d.Results.Save(ctx, w...) })
	return err
}

func (d dyingResults) Load(ctx context.Context, ids ...string) ([]*stem.Status, error) {
	return call(d.p, func() ([]*stem.Status, error) { return d.Results.Load(ctx, ids...) })
}

func (d dyingResults) Tally(ctx context.Context, t ...stem.Tally) ([]stem.Tallied, error) {
	return call(d.p, func() ([]stem.Tallied, error) { return d.Results.Tally(ctx, t...) })
}

func (d dyingResults) Fired(ctx context.Context, ids ...string) error {
	_, err := call(d.p, func() (struct{}, error) { return struct{}{}, d.Results.Fired(ctx, ids...) })
	return err
}

type dyingRecords struct {
	stem.Records
	p *process
}

func (d dyingRecords) Save(ctx context.Context, w ...stem.RecordWrite) ([]int64, error) {
	return call(d.p, func() ([]int64, error) { return d.Records.Save(ctx, w...) })
}
