package redis_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// TestTheScriptDecidesAsTheReferenceDoes runs random asks, with rates that change and a clock that jumps, through the script and through
// adapters.Bucket.
func TestTheScriptDecidesAsTheReferenceDoes(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := fresh(servers.Redis(t).URL())(t, func(o *stem.StoreOptions) { o.Now = func() time.Time { return now } })
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	buckets := map[string]*adapters.Bucket{}
	for round := range 300 {
		var asks []stem.RateAsk
		for range 1 + random.IntN(40) {
			rate := stem.Rate{Tokens: 1 + random.IntN(9), Per: time.Duration(1+random.IntN(7200)) * time.Second, Burst: random.IntN(12)}
			asks = append(asks, stem.RateAsk{Key: fmt.Sprint("key ", random.IntN(3)), Rate: rate})
		}
		got, err := store.Broker.(stem.Limiter).Take(t.Context(), asks...)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range asks {
			if buckets[a.Key] == nil {
				buckets[a.Key] = &adapters.Bucket{}
			}
			if want := buckets[a.Key].Take(a.Rate, now.UnixMicro()); got[i] != want {
				t.Fatalf("seed %d, round %d: %+v at %v gave %+v, want %+v", seed, round, a, now, got[i], want)
			}
		}
		now = now.Add(time.Duration(random.Int64N(int64(2*time.Hour))) - 10*time.Minute)
	}
}

func TestAKeyOfTheLimiterExpiresByItself(t *testing.T) {
	client, namespace := servers.Redis(t).Client, stem.NewID()
	store := open(t, servers.Redis(t).URL(), stem.Namespace(namespace))
	for key, least := range map[string]time.Duration{"soon": time.Minute, "late": 9 * time.Hour} {
		rate := stem.Rate{Tokens: 10, Per: time.Second}
		if key == "late" {
			rate = stem.Rate{Tokens: 1, Per: 10 * time.Hour}
		}
		if out, err := store.Broker.(stem.Limiter).Take(t.Context(), stem.RateAsk{Key: key, Rate: rate}); err != nil || !out[0].Granted {
			t.Fatal(out, err)
		}
		left, err := client.PTTL(t.Context(), namespace+"{l:"+key+"}").Result()
		if err != nil || left < least-time.Second || left > 2*least+2*time.Hour {
			t.Errorf("%s expires in %s, %v", key, left, err)
		}
	}
}

func TestKeysOfTheLimiterAreSpreadOverTheNodesOfACluster(t *testing.T) {
	cluster, namespace := servers.Cluster(t), stem.NewID()
	store := open(t, cluster.URL(), stem.Namespace(namespace))
	var asks []stem.RateAsk
	for i := range 100 {
		asks = append(asks, stem.RateAsk{Key: fmt.Sprint(i), Rate: stem.Rate{Tokens: 1, Per: time.Hour}})
	}
	take := func() (granted int) {
		t.Helper()
		out, err := store.Broker.(stem.Limiter).Take(t.Context(), asks...)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range out {
			if a.Err != nil {
				t.Fatal(a.Err)
			}
			if a.Granted {
				granted++
			}
		}
		return granted
	}
	if n := take(); n != len(asks) {
		t.Errorf("%d granted of %d", n, len(asks))
	}
	for _, node := range cluster.Nodes {
		keys, err := node.Client.Keys(t.Context(), namespace+"{l:*").Result()
		if err != nil || len(keys) < 10 || len(keys) > 80 {
			t.Errorf("%s has %d of %d keys, %v", node.Addr, len(keys), len(asks), err)
		}
		if err := node.Client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n := take(); n != 0 {
		t.Errorf("%d granted again", n)
	}
}
