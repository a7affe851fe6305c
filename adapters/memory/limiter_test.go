package memory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stemd/stem"
)

func TestKeysOfTheLimiterThatHaveRestedAreDeletedInSlicesAndCounted(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := open(t, func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	const n = 1500
	asks := []stem.RateAsk{{Key: "slow", Rate: stem.Rate{Tokens: 1, Per: 2 * time.Hour}}}
	for i := range n {
		asks = append(asks, stem.RateAsk{Key: fmt.Sprint(i), Rate: stem.Rate{Tokens: 1, Per: time.Minute}})
	}
	if _, err := store.Broker.(stem.Limiter).Take(t.Context(), asks...); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{0, n, 0, 1} {
		var sum stem.Maintained
		for more := true; more; more = sum.More {
			m, err := store.Broker.(stem.Maintainer).Maintain(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sum = sum.Add(m)
		}
		if sum != (stem.Maintained{Limits: want}) {
			t.Errorf("at %v deleted %+v, want %d", now, sum, want)
		}
		now = now.Add(100 * time.Minute)
	}
}
