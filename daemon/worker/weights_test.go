package worker

import (
	"fmt"
	"math"
	"testing"

	"github.com/stemd/stem"
	"pgregory.net/rapid"
)

// serve answers a plan from backlogs as a store does: in order, within each limit, n in total.
func serve(backlog map[string]int, limits []stem.QueueLimit, n int) []stem.Delivery {
	var ds []stem.Delivery
	for _, l := range limits {
		for range min(l.Limit, backlog[l.Queue], n-len(ds)) {
			backlog[l.Queue]--
			ds = append(ds, stem.Delivery{Receipt: stem.Receipt{Queue: l.Queue}})
		}
	}
	return ds
}

func TestQueuesWithWorkShareByWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		queues, sum := map[string]int{}, 0
		for i := range rapid.IntRange(1, 5).Draw(t, "queues") {
			weight := rapid.IntRange(1, 9).Draw(t, "weight")
			queues[fmt.Sprint("q", i)], sum = weight, sum+weight
		}
		w, backlog, got, total := newWeights(queues), map[string]int{}, map[string]int{}, 0
		for queue := range queues {
			backlog[queue] = 1 << 20
		}
		for range 200 {
			n := rapid.IntRange(1, 40).Draw(t, "free")
			ds := serve(backlog, w.plan(n), n)
			w.took(ds)
			if len(ds) != n {
				t.Fatalf("claimed %d of %d although every queue has work", len(ds), n)
			}
			for _, d := range ds {
				got[d.Receipt.Queue]++
			}
			total += n
		}
		for queue, weight := range queues {
			want := float64(total) * float64(weight) / float64(sum)
			if off := math.Abs(float64(got[queue]) - want); off > 120 {
				t.Fatalf("%s of weight %d of %d got %d of %d, want %.0f", queue, weight, sum, got[queue], total, want)
			}
		}
	})
}

func TestAnIdleQueueCostsTheOthersOneShortClaimAtMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWeights(map[string]int{"busy": 1, "idle": rapid.IntRange(1, 9).Draw(t, "weight"), "also": 2})
		backlog, short := map[string]int{"busy": 1 << 20}, 0
		for range 50 {
			n := rapid.IntRange(1, 40).Draw(t, "free")
			ds := serve(backlog, w.plan(n), n)
			w.took(ds)
			if len(ds) < n {
				short++
			}
		}
		if short > 1 {
			t.Fatalf("%d claims came back short", short)
		}
	})
}

func TestAQueueThatWakesUpIsServedAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWeights(map[string]int{"a": rapid.IntRange(1, 9).Draw(t, "weight"), "b": 1})
		backlog := map[string]int{"a": 1 << 20}
		for range rapid.IntRange(1, 20).Draw(t, "before") {
			w.took(serve(backlog, w.plan(4), 4))
		}
		backlog["b"] = 1
		serve(backlog, w.plan(4), 4)
		if backlog["b"] != 0 {
			t.Fatal("the queue that got work was not asked")
		}
	})
}

func TestNoClaimComesBackEmptyWhileAQueueHasWork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWeights(map[string]int{"a": rapid.IntRange(1, 9).Draw(t, "weight"), "b": 1, "c": 3})
		backlog := map[string]int{}
		for range 50 {
			for _, queue := range []string{"a", "b", "c"} {
				backlog[queue] += rapid.IntRange(0, 2).Draw(t, "new")
			}
			there, n := backlog["a"]+backlog["b"]+backlog["c"], rapid.IntRange(1, 3).Draw(t, "free")
			ds := serve(backlog, w.plan(n), n)
			w.took(ds)
			if there > 0 && len(ds) == 0 {
				t.Fatalf("nothing of %d was claimed", there)
			}
		}
	})
}
