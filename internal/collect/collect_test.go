package collect_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem/internal/collect"
)

// calls notes how large calls were and how many were in flight at once; each takes a second of virtual time.
type calls struct {
	mu           sync.Mutex
	sizes        []int
	flying, most int
}

func (c *calls) do(_ context.Context, items []int) ([]int, error) {
	c.mu.Lock()
	c.sizes, c.flying = append(c.sizes, len(items)), c.flying+1
	c.most = max(c.most, c.flying)
	c.mu.Unlock()
	time.Sleep(time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying--
	return items, nil
}

// callers have so many goroutines do so many items, one after the other.
func callers(t *testing.T, c *collect.Collector[int, int], n, each int) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			for k := range each {
				if got, err := c.Do(t.Context(), i*each+k); got != i*each+k || err != nil {
					t.Errorf("item %d got %d, %v", i*each+k, got, err)
				}
			}
		})
	}
	all.Wait()
	c.Wait()
}

func TestCallersShareTwoCallsThatGoAbreast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		callers(t, collect.NewCollector(100, 2, seen.do), 8, 20)
		if seen.most != 2 {
			t.Errorf("%d calls were in flight at once, want 2", seen.most)
		}
		halves := 0
		for _, n := range seen.sizes {
			if n == 4 {
				halves++
			}
		}
		if halves < len(seen.sizes)*3/4 || len(seen.sizes) > 50 {
			t.Errorf("of %d calls for 8 callers %d had 4 items: %v", len(seen.sizes), halves, seen.sizes)
		}
	})
}

func TestASecondCallWaitsForItsShareAndNotForThoseWhoHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		c := collect.NewCollector(100, 2, seen.do)
		callers(t, c, 8, 5)
		begun := time.Now()
		callers(t, c, 1, 10)
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("one caller alone took %s for ten calls of a second", took)
		}
	})
}

func TestCallersShareOneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		callers(t, collect.NewCollector(100, 1, seen.do), 8, 20)
		if seen.most != 1 || len(seen.sizes) > 40 {
			t.Errorf("%d calls for 160 items of 8 callers, %d in flight at once", len(seen.sizes), seen.most)
		}
	})
}

func TestNoCallHasMoreThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		callers(t, collect.NewCollector(3, 2, seen.do), 16, 5)
		for _, n := range seen.sizes {
			if n > 3 {
				t.Errorf("a call had %d items, the limit is 3", n)
			}
		}
	})
}

func TestAPanicOfACallLeavesTheOtherCallsToGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := collect.NewCollector(100, 2, func(_ context.Context, items []int) ([]int, error) {
			time.Sleep(time.Second)
			if len(items) == 1 && items[0] == 13 {
				panic("unlucky")
			}
			return items, nil
		})
		func() {
			defer func() { _ = recover() }()
			_, _ = c.Do(t.Context(), 13)
			t.Error("there was no panic")
		}()
		callers(t, c, 8, 10)
	})
}
