package redis_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// parting is a Cluster that goes on without one of its nodes, the one that is asked first for what any of them may answer, a spread
// namespace on it, and queues on that node and on others.
type parting struct {
	*testserver.Cluster
	namespace string
	store     stem.Store
	node      *testserver.Redis
	near, far []string
}

func newParting(t *testing.T) *parting {
	t.Helper()
	c := testserver.NewCluster(t, append(testserver.SlowToRead(), "cluster-require-full-coverage no")...)
	p := &parting{Cluster: c, namespace: stem.NewID(), node: c.Nodes[0]}
	p.store = open(t, c.URL(), stem.Namespace(p.namespace))
	for i := 0; len(p.near) < 2 || len(p.far) < 1; i++ {
		if queue := fmt.Sprintf("queue-%d", i); p.lies(t, "{q:"+redis.LaneOf(queue)) {
			p.far = append(p.far, queue)
		} else {
			p.near = append(p.near, queue)
		}
	}
	return p
}

// lies says whether a part of the namespace is on the node that goes away.
func (p *parting) lies(t *testing.T, tag string) bool {
	t.Helper()
	return p.tagged(t, "{"+p.namespace+tag)
}

// tagged says whether that node has the keys that begin so, up to their first brace that closes.
func (p *parting) tagged(t *testing.T, prefix string) bool {
	t.Helper()
	node, err := p.Owner(t.Context(), prefix+"}")
	if err != nil {
		t.Fatal(err)
	}
	return node == p.node
}

// Ways in which the node goes away.
const (
	silent   = "silent"   // it stands still, taking connections and saying nothing
	dead     = "dead"     // nobody listens there
	starting = "starting" // it is there again and still reads its data
)

// waysToLeave are the ways of a node that does not come back by itself, and whether it is silent.
var waysToLeave = map[string]bool{silent: true, dead: false}

// leave has the node go away. back has it come again.
func (p *parting) leave(t *testing.T, way string) (back func()) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	switch way {
	case silent:
		must(p.node.Pause())
		t.Cleanup(func() { _ = p.node.Resume() })
		return func() { must(p.node.Resume()) }
	case starting:
		tag := "{burden-0"
		for i := 1; !p.tagged(t, tag); i++ {
			tag = fmt.Sprintf("{burden-%d", i)
		}
		must(p.node.Burden(t.Context(), tag+"}"))
		must(p.node.Kill())
		must(p.node.Launch())
		until(t, "the node reads its data", func() bool { return strings.HasPrefix(p.node.Answer(), "-LOADING") })
		return nil
	}
	must(p.node.Kill())
	return func() { must(p.node.Start(t.Context())) }
}

// What is on other nodes is accepted, what is on the one that is away is not confirmed, and nothing is there twice afterwards.
func TestProducersEnqueueBesideANodeOfAClusterThatIsAway(t *testing.T) {
	for way := range waysToLeave {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := newParting(t)
			client := stem.NewClient(p.store)
			back := p.leave(t, way)
			const producers, each = 8, 30
			var all sync.WaitGroup
			var slowest atomic.Int64
			missed := make([][]string, producers)
			begun := time.Now()
			for n := range producers {
				queue := []string{p.near[0], p.near[1], p.near[0], p.far[0]}[n%4]
				all.Go(func() {
					for i := range each {
						begun := time.Now()
						opts, id := []stem.Option{stem.Queue(queue)}, fmt.Sprintf("task-%d-%d", n, i)
						away := queue == p.far[0]
						if away {
							opts = append(opts, stem.TaskID(id))
						}
						h, err := client.Enqueue(t.Context(), "t", nil, opts...)
						if away && errors.Is(err, stem.ErrUnreachable) {
							missed[n] = append(missed[n], id)
						} else if away || err != nil {
							t.Errorf("enqueuing to %s, which is away: %t, gave %v, %v", queue, away, h, err)
						}
						slowest.Store(max(slowest.Load(), time.Since(begun).Milliseconds()))
					}
				})
			}
			all.Wait()
			t.Logf("%d calls took %v, the slowest %d ms", producers*each, time.Since(begun), slowest.Load())
			back()
			begun = time.Now()
			want := 0
			for _, id := range slices.Concat(missed...) {
				want++
				until(t, "what was not confirmed is accepted", func() bool {
					_, err := client.Enqueue(t.Context(), "t", nil, stem.Queue(p.far[0]), stem.TaskID(id))
					return err == nil
				})
			}
			t.Logf("publishing %d again took %v", want, time.Since(begun))
			counts, err := p.store.Broker.(stem.Inspector).Queues(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, q := range counts {
				got[q.Queue] = q.Ready
			}
			if got[p.far[0]] != want || got[p.near[0]] != 4*each || got[p.near[1]] != 2*each {
				t.Errorf("ready are %v, want %d where it was away", got, want)
			}
		})
	}
}

// A program that starts finds its namespace also when the node is away where it is noted how the namespace lies.
func TestAProgramStartsBesideANodeOfAClusterThatIsAway(t *testing.T) {
	for _, way := range []string{silent, dead, starting} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := newParting(t)
			far, near := stem.NewID(), stem.NewID()
			for ; !p.tagged(t, "{"+far); far = stem.NewID() {
			}
			for ; p.tagged(t, "{"+near); near = stem.NewID() {
			}
			queues := map[string]string{}
			for _, namespace := range []string{far, near} {
				if err := open(t, p.URL(), stem.Namespace(namespace)).Close(); err != nil {
					t.Fatal(err)
				}
				for i := 0; queues[namespace] == "" || p.tagged(t, "{"+namespace+"{q:"+redis.LaneOf(queues[namespace])); i++ {
					queues[namespace] = fmt.Sprintf("queue-%d", i)
				}
			}
			p.leave(t, way)
			for namespace, queue := range queues {
				for range 2 { // whatever node is asked first
					begun := time.Now()
					store := open(t, p.URL(), stem.Namespace(namespace))
					if _, err := stem.NewClient(store).Enqueue(t.Context(), "t", nil, stem.Queue(queue)); err != nil {
						t.Error(err)
					}
					t.Logf("its layout is noted there: %t; it took %v", namespace == far, time.Since(begun))
				}
				if _, err := redis.Open(t.Context(), p.URL()+"&spread=off", stem.Namespace(namespace)); err == nil {
					t.Error("it was opened as one that lies on one node")
				}
			}
		})
	}
}

func TestListsShowWhatIsOnTheOtherNodesOfACluster(t *testing.T) {
	for _, way := range []string{silent, dead, starting} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := newParting(t)
			ended := map[bool]int{} // by whether the result lies on the node
			for i := range 20 {
				id := fmt.Sprintf("task-%d", i)
				if _, err := p.store.Broker.Publish(t.Context(), in(t, p.near[0], id), in(t, p.far[0], "other-"+id)); err != nil {
					t.Fatal(err)
				}
				w := stem.StatusWrite{Status: stem.Status{ID: "ended-" + id, Name: "t", State: stem.Succeeded, Epoch: 1}}
				if err := p.store.Results.Save(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				ended[p.lies(t, redis.ShardTag(w.Status.ID))]++
			}
			p.leave(t, way)
			counts, err := p.store.Broker.(stem.Inspector).Queues(t.Context())
			if len(counts) != 1 || counts[0].Queue != p.near[0] || counts[0].Ready != 20 || !errors.Is(err, stem.ErrUnreachable) {
				t.Errorf("the counts are %v, %v", counts, err)
			}
			page, err := p.store.Results.List(t.Context(), stem.StatusQuery{State: stem.Succeeded, Limit: 100})
			if len(page.Items) != ended[false] || ended[true] == 0 || !errors.Is(err, stem.ErrUnreachable) {
				t.Errorf("listed are %d of %v, %v", len(page.Items), ended, err)
			}
		})
	}
}
