package memory_test

import (
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/adapters/memory"
)

func open(t *testing.T, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), "memory://", opts...)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

var all = adaptertest.Capabilities{Clock: true, Bus: true, Inspector: true, Maintainer: true, Takeover: true, Limiter: true}

func TestContract(t *testing.T) { adaptertest.Run(t, open, all) }

func TestContractInVirtualTime(t *testing.T) {
	virtual := all
	virtual.Clock, virtual.Virtual = false, true
	adaptertest.Run(t, open, virtual)
}
