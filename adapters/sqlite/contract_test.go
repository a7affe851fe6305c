package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
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

// blank is a file without a task. To make one takes longer than most that is done with it.
var blank = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "stem")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "stem.db")
	store, err := sqlite.Open(context.Background(), "sqlite://"+file)
	if err != nil {
		return nil, err
	}
	if err := store.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

func fresh(t *testing.T, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	data, err := blank()
	file := filepath.Join(t.TempDir(), "stem.db")
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return open(t, "sqlite://"+file, opts...)
}

func TestContract(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, fresh, capabilities)
}

func TestModel(t *testing.T) {
	t.Parallel()
	adaptertest.Model(t, fresh, capabilities)
}

func open(t testing.TB, url string, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}
