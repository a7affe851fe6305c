package redis_test

import (
	"testing"
	"time"

	"github.com/stemd/stem"
)

// A token that was taken by a call whose answer was lost is gone: too few may be granted for a while, and never too many.
func TestTokensWhoseAnswerIsCutAnywhereAreNeverGrantedTwice(t *testing.T) {
	f := newFaults(t)
	take := func(store stem.Store, id string) (stem.RateAnswer, error) {
		out, err := store.Broker.(stem.Limiter).Take(t.Context(), stem.RateAsk{Key: id, Rate: stem.Rate{Tokens: 1, Per: time.Hour}})
		if err != nil {
			return stem.RateAnswer{}, err
		}
		return out[0], out[0].Err
	}
	lost, kept := 0, 0
	f.everywhere(func(string) {}, func(id string) error {
		answer, err := take(f.store, id)
		if err == nil && !answer.Granted {
			t.Fatalf("the first to ask is told %+v", answer)
		}
		return err
	}, func(id string, cut bool) {
		answer, err := take(f.calm, id)
		f.must(err)
		switch {
		case !cut && answer.Granted:
			t.Fatalf("%s was granted twice", id)
		case cut && answer.Granted:
			kept++
		case cut:
			lost++
		}
		again, err := take(f.calm, id)
		f.must(err)
		if again.Granted {
			t.Fatalf("%s was granted twice", id)
		}
	})
	if lost == 0 || kept == 0 {
		t.Errorf("%d calls were cut before they were carried out and %d after: the cuts are not everywhere", kept, lost)
	}
}
