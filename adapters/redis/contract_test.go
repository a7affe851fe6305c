package redis_test

import (
	"crypto/rand"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

var servers testserver.Shared

// atOnce is how many tests run beside each other where nothing else is asked for: most of the time they wait for servers.
const atOnce = "4"

func TestMain(m *testing.M) {
	adaptertest.CrashChild(redis.Open)
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue {
		_ = n.Value.Set(atOnce) // what the command line says is set when the tests run
	}
	os.Exit(servers.Main(m))
}

var capabilities = adaptertest.Capabilities{
	Clock: true, Bus: true, Inspector: true, Maintainer: true, Takeover: true, Limiter: true, LimitsExpire: true,
	Sibling: func(t *testing.T, of stem.Store, opts ...stem.StoreOption) stem.Store {
		url, prefix, _ := strings.Cut(of.Info.URL, "#")
		return apart(t, url, prefix, opts...)
	},
}

func TestContract(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, fresh(servers.Redis(t).URL()), capabilities)
}

func TestContractInPages(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, inPages(servers.Redis(t).URL()), capabilities)
}

func TestContractOnACluster(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, fresh(servers.Cluster(t).URL()), capabilities)
}

func TestContractOnOneNodeOfACluster(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, fresh(servers.Cluster(t).URL()+"&spread=off"), capabilities)
}

func TestContractBehindSentinel(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, fresh(servers.Sentinel(t).URL()), capabilities)
}

func TestModel(t *testing.T) {
	t.Parallel()
	adaptertest.Model(t, fresh(servers.Redis(t).URL()), cleaned())
}

func TestModelInPages(t *testing.T) {
	t.Parallel()
	adaptertest.Model(t, inPages(servers.Redis(t).URL()), cleaned())
}

func TestModelOnACluster(t *testing.T) {
	t.Parallel()
	spread := capabilities
	spread.Composed = true
	adaptertest.Model(t, fresh(servers.Cluster(t).URL()), spread)
}

func TestModelBehindSentinel(t *testing.T) {
	t.Parallel()
	adaptertest.Model(t, fresh(servers.Sentinel(t).URL()), capabilities)
}

func TestModelOnOneNodeOfACluster(t *testing.T) {
	t.Parallel()
	few := capabilities
	few.ModelRuns = 6 // its scripts are those of a single server
	adaptertest.Model(t, fresh(servers.Cluster(t).URL()+"&spread=off"), few)
}

func TestModelInPagesOnACluster(t *testing.T) {
	t.Parallel()
	spread := capabilities
	spread.Composed = true
	adaptertest.Model(t, inPages(servers.Cluster(t).URL()), spread)
}

// cleaned are the capabilities with a look at the server at the end.
func cleaned() adaptertest.Capabilities {
	c := capabilities
	c.Leftovers = func(t *testing.T, of stem.Store) []string {
		_, prefix, _ := strings.Cut(of.Info.URL, "#")
		return leftovers(t, "{"+prefix+of.Info.Namespace+"}:")
	}
	return c
}

// leftovers are the keys that begin like this, but for the counters.
func leftovers(t *testing.T, prefix string) (left []string) {
	client := servers.Redis(t).Client
	for keys := client.Scan(t.Context(), 0, prefix+"*", 1000).Iterator(); keys.Next(t.Context()); {
		if key := keys.Val(); key != prefix+"meta" {
			left = append(left, key)
		}
	}
	return left
}

// fresh opens stores that share a server and nothing else.
func fresh(url string) adaptertest.Open {
	return func(t *testing.T, opts ...stem.StoreOption) stem.Store {
		t.Helper()
		prefix := rand.Text()[:8]
		return apart(t, url, prefix+".", opts...)
	}
}

// inPages is fresh of stores that put all messages into pages they can.
func inPages(url string) adaptertest.Open {
	return func(t *testing.T, opts ...stem.StoreOption) stem.Store {
		t.Helper()
		prefix := rand.Text()[:8]
		store, err := redis.OpenInPages(t.Context(), url, append(opts, func(o *stem.StoreOptions) { o.Namespace = prefix + "." + o.Namespace })...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		store.Info.URL, store.Info.Namespace = url+"#"+prefix+".", strings.TrimPrefix(store.Info.Namespace, prefix+".")
		return store
	}
}

// apart opens a store whose namespace is behind a prefix, which is found in its URL and not in what it says of itself.
func apart(t testing.TB, url, prefix string, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	store := open(t, url, append(opts, func(o *stem.StoreOptions) { o.Namespace = prefix + o.Namespace })...)
	store.Info.URL, store.Info.Namespace = url+"#"+prefix, strings.TrimPrefix(store.Info.Namespace, prefix)
	return store
}

func open(t testing.TB, url string, opts ...stem.StoreOption) stem.Store {
	t.Helper()
	store, err := redis.Open(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}
