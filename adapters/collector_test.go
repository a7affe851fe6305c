package adapters_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem/adapters"
)

// batches records the calls of a collector whose every call takes a second of virtual time.
type batches struct{ calls [][]int }

func (b *batches) do(items []int) ([]int, error) {
	b.calls = append(b.calls, slices.Clone(items))
	time.Sleep(time.Second)
	doubled := make([]int, len(items))
	for i, n := range items {
		doubled[i] = 2 * n
	}
	return doubled, nil
}

func TestTheFirstItemGoesAtOnceAndTheRestGatherWhileItIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b batches
		c := adapters.NewCollector(100, b.do)
		results := map[int]int{}
		add := func(n int) {
			c.Add(n, func(r int, err error) {
				if err != nil {
					t.Error(err)
				}
				results[n] = r
			})
		}
		add(1)
		synctest.Wait()
		for n := 2; n <= 6; n++ {
			add(n)
		}
		c.Wait()
		if len(b.calls) != 2 || !slices.Equal(b.calls[0], []int{1}) || !slices.Equal(b.calls[1], []int{2, 3, 4, 5, 6}) {
			t.Errorf("calls were %v", b.calls)
		}
		for n := 1; n <= 6; n++ {
			if results[n] != 2*n {
				t.Errorf("item %d got %d", n, results[n])
			}
		}
	})
}

func TestACallNeverGetsMoreItemsThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b batches
		c := adapters.NewCollector(3, b.do)
		c.Add(0, func(int, error) {})
		synctest.Wait()
		for n := 1; n <= 7; n++ {
			c.Add(n, func(int, error) {})
		}
		c.Wait()
		if len(b.calls) != 4 || len(b.calls[1]) != 3 || len(b.calls[2]) != 3 || len(b.calls[3]) != 1 {
			t.Errorf("calls were %v", b.calls)
		}
	})
}

func TestAnErrorOfACallReachesEveryItemOfItAndNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		c := adapters.NewCollector(100, func(items []int) ([]int, error) {
			time.Sleep(time.Second)
			if len(items) > 1 {
				return nil, broken
			}
			return items, nil
		})
		errs := map[int]error{}
		add := func(n int) { c.Add(n, func(_ int, err error) { errs[n] = err }) }
		add(1)
		synctest.Wait()
		add(2)
		add(3)
		c.Wait()
		if errs[1] != nil || !errors.Is(errs[2], broken) || !errors.Is(errs[3], broken) {
			t.Errorf("errors were %v", errs)
		}
		add(4)
		c.Wait()
		if errs[4] != nil {
			t.Errorf("an error outlived its call: %v", errs[4])
		}
	})
}

func TestDoAnswersWithTheResultOfItsItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b batches
		c := adapters.NewCollector(100, b.do)
		if r, err := c.Do(t.Context(), 21); r != 42 || err != nil {
			t.Errorf("got %d, %v", r, err)
		}
		c.Wait()
	})
}

func TestDoReturnsWhenItsContextEndsAndTheItemIsDoneAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b batches
		c := adapters.NewCollector(100, b.do)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := c.Do(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if waited := time.Since(start); waited != time.Millisecond {
			t.Errorf("waited %v", waited)
		}
		c.Wait()
		if len(b.calls) != 1 {
			t.Errorf("calls were %v", b.calls)
		}
	})
}

func TestWaitReturnsWhenEverythingIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b batches
		c := adapters.NewCollector(1, b.do)
		c.Wait() // nothing to wait for
		start, done := time.Now(), 0
		for n := range 3 {
			c.Add(n, func(int, error) { done++ })
		}
		c.Wait()
		if waited := time.Since(start); waited != 3*time.Second || done != 3 {
			t.Errorf("waited %v, %d of 3 done", waited, done)
		}
	})
}
