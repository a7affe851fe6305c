package adapters_test

import (
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/adapters/memory"
)

var all = adaptertest.Capabilities{Clock: true, Virtual: true, Bus: true, Inspector: true, Maintainer: true, Takeover: true, Limiter: true}

func open(t *testing.T, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	s, err := memory.Open(t.Context(), "memory://", opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestComposedStoresKeepTheContract(t *testing.T) {
	for name, compose := range map[string]func(t *testing.T, opts ...stem.StoreOption) stem.Store{
		"three stores": func(t *testing.T, opts ...stem.StoreOption) stem.Store {
			return adapters.Compose(open(t, opts...), open(t, opts...), open(t, opts...))
		},
		"results apart": func(t *testing.T, opts ...stem.StoreOption) stem.Store {
			main := open(t, opts...)
			return adapters.Compose(main, open(t, opts...), main)
		},
		"records apart": func(t *testing.T, opts ...stem.StoreOption) stem.Store {
			main := open(t, opts...)
			return adapters.Compose(main, main, open(t, opts...))
		},
		"broker apart": func(t *testing.T, opts ...stem.StoreOption) stem.Store {
			rest := open(t, opts...)
			return adapters.Compose(open(t, opts...), rest, rest)
		},
	} {
		t.Run(name, func(t *testing.T) { adaptertest.Run(t, compose, all) })
	}
}

func TestComposingOneStoreGivesThatStore(t *testing.T) {
	s := open(t)
	c := adapters.Compose(s, s, s)
	if c.Broker != s.Broker || c.Results != s.Results || c.Records != s.Records || !c.Info.OneFile {
		t.Errorf("composed %+v", c)
	}
}

func TestClosingAComposedStoreClosesEachPartOnce(t *testing.T) {
	closed := map[string]int{}
	part := func(name string) stem.Store {
		s := open(t)
		s.CloseFunc = func() error { closed[name]++; return nil }
		return s
	}
	broker, rest := part("broker"), part("rest")
	if err := adapters.Compose(broker, rest, rest).Close(); err != nil {
		t.Fatal(err)
	}
	if closed["broker"] != 1 || closed["rest"] != 1 {
		t.Errorf("closed %v", closed)
	}
}
