package sqlite

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stemd/stem"
)

func TestABadRequestHarmsNobodyElseInItsTransaction(t *testing.T) {
	store, err := Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "stem.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	d := store.Broker.(*broker).db
	bad := errors.New("bad request")
	// Hold the writer, so that all of these land in one transaction.
	gate, held := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.writer.do(t.Context(), ofAll, func(*tx) error { close(held); <-gate; return nil }) })
	<-held
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() {
			errs[i] = d.writer.do(t.Context(), ofAll, func(tx *tx) error {
				if err := d.save(tx, &stem.Status{ID: string(rune('a' + i)), State: stem.Running, Epoch: 1}, 0); err != nil {
					return err
				}
				if i%5 == 0 {
					return bad
				}
				return nil
			})
		})
	}
	for len(d.writer.requests) < len(errs) { // all have arrived
		if t.Context().Err() != nil {
			t.Fatal("they never arrive")
		}
	}
	close(gate)
	wg.Wait()
	for i, err := range errs {
		loaded, loadErr := store.Results.Load(t.Context(), string(rune('a'+i)))
		if loadErr != nil {
			t.Fatal(loadErr)
		}
		if wantBad := i%5 == 0; wantBad != errors.Is(err, bad) || wantBad != (loaded[0] == nil) {
			t.Errorf("request %d: %v, saved %v", i, err, loaded[0] != nil)
		}
	}
}
