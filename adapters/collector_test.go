package adapters_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stemd/stem/adapters"
)

// batches records the calls of a collector whose every call takes a second of virtual time.
type batches struct{ calls [][]int }

func (b *batches) do(_ context.Context, items []int) ([]int, error) {
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
		c := adapters.NewCollector(100, func(_ context.Context, items []int) ([]int, error) {
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
		c.Add(0, func(int, error) {})
		synctest.Wait()
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
		if len(b.calls) != 2 || !slices.Equal(b.calls[1], []int{1}) {
			t.Errorf("calls were %v", b.calls)
		}
	})
}

func TestAnItemThatGoesAtOnceGoesInItsCallersGoroutineAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, true)
		c := adapters.NewCollector(100, func(ctx context.Context, items []int) ([]int, error) {
			if alone := len(items) == 1; alone != (ctx.Value(key{}) != nil) {
				t.Errorf("%v with context %v", items, ctx)
			}
			time.Sleep(time.Second)
			if items[0] == 13 {
				panic("in the caller's goroutine")
			}
			return items, nil
		})
		var others []int
		for range 3 {
			time.AfterFunc(time.Millisecond, func() { c.Add(7, func(r int, err error) { others = append(others, r) }) })
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = c.Do(ctx, 13)
			t.Error("there was no panic")
		}()
		c.Wait()
		if !slices.Equal(others, []int{7, 7, 7}) {
			t.Errorf("those that gathered meanwhile got %v", others)
		}
	})
}

func TestManyCallersGetTheirOwnResultsInFewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b batches
		c := adapters.NewCollector(100, b.do)
		var callers sync.WaitGroup
		for n := range 50 {
			callers.Go(func() {
				for k := range 4 {
					item := 1000*k + n
					if r, err := c.Do(t.Context(), item); r != 2*item || err != nil {
						t.Errorf("item %d got %d, %v", item, r, err)
					}
				}
			})
		}
		callers.Wait()
		c.Wait()
		total := 0
		for _, call := range b.calls {
			total += len(call)
		}
		if total != 200 || len(b.calls) > 10 {
			t.Errorf("%d items in %d calls", total, len(b.calls))
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
