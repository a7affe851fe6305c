package adapters_test

import (
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	"github.com/stemd/stem/adapters/adaptertest"
)

// spread is a store whose lanes, directory, results and records are memory stores of their own.
func spread(t *testing.T, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	rest := open(t, opts...)
	return adapters.Spread(adapters.Spreading{
		Lane:      func(string) stem.Store { return open(t, opts...) },
		Directory: open(t, opts...), Results: rest, Records: rest, Options: stem.NewStoreOptions(opts...), Info: rest.Info,
		Limiter: rest.Broker.(stem.Limiter),
	})
}

func TestASpreadStoreKeepsTheContract(t *testing.T) { adaptertest.Run(t, spread, all) }

func TestASpreadStoreFollowsTheModel(t *testing.T) {
	caps := all
	caps.Composed = true
	adaptertest.Model(t, spread, caps)
}
