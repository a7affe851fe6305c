package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/adapters/sqlite"
)

var capabilities = adaptertest.Capabilities{
	Clock: true, Bus: true, Inspector: true, Maintainer: true, Takeover: true, Limiter: true,
	Sibling: func(t *testing.T, of stem.Store, opts ...stem.StoreOption) stem.Store {
		return open(t, of.Info.URL, opts...)
	},
}

func fresh(t *testing.T, opts ...stem.StoreOption) stem.Store {
	return open(t, "sqlite://"+filepath.Join(t.TempDir(), "stem.db"), opts...)
}

func TestContract(t *testing.T) { adaptertest.Run(t, fresh, capabilities) }

func TestModel(t *testing.T) { adaptertest.Model(t, fresh, capabilities) }

func open(t testing.TB, url string, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}
