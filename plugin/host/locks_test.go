package host

import (
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem/plugin"
)

// A pool that changes its size counts its suspects while these are given processes: whoever takes both locks takes them in one order.
func TestAPoolThatScalesAndItsSuspectsDoNotWaitForEachOther(t *testing.T) {
	pool, err := New(Config{Name: "media", Command: []string{"/bin/true"}, Processes: Processes{Min: 1, Max: 3}}, &ends{}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	pool.suspect([]*held{{Attempt: plugin.Attempt{ID: "t1", Epoch: 1}}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		var parts sync.WaitGroup
		for _, part := range []func(){pool.isolate, func() { pool.plan(time.Now()) }, func() { pool.Stats() }} {
			parts.Go(func() {
				for range 5000 {
					part()
				}
			})
		}
		parts.Wait()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("they wait for each other")
	}
}
