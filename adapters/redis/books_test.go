package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/adapters/redis"
)

// audited is a broker whose keys are looked at, all of them, whenever somebody counts its queues, and whose claims take the rings of their
// queues away as those do that have waited.
type audited struct {
	stem.Broker
	stem.Inspector
	stem.Maintainer
	stem.Takeover
	t      *testing.T
	prefix string // of the keys
}

func (a *audited) Claim(ctx context.Context, c stem.Claim) ([]stem.Delivery, error) {
	for _, q := range c.Queues {
		if c.Max > 0 {
			if err := servers.Redis(a.t).Client.Del(ctx, a.prefix+"q:"+q.Queue+":b").Err(); err != nil {
				return nil, err
			}
		}
	}
	return a.Broker.Claim(ctx, c)
}

func (a *audited) Queues(ctx context.Context) ([]stem.QueueCounts, error) {
	if faults := redis.Audit(a.t, servers.Redis(a.t).Client, a.prefix); len(faults) > 0 {
		return nil, errors.New(strings.Join(faults, "\n"))
	}
	return a.Inspector.Queues(ctx)
}

// auditing opens stores whose keys are looked at after every operation of a model. Somebody watches one of the tasks.
func auditing(open adaptertest.Open) adaptertest.Open {
	return func(t *testing.T, opts ...stem.StoreOption) stem.Store {
		store := open(t, opts...)
		_, prefix, _ := strings.Cut(store.Info.URL, "#")
		a := &audited{
			store.Broker, store.Broker.(stem.Inspector), store.Broker.(stem.Maintainer), store.Broker.(stem.Takeover),
			t, "{" + prefix + store.Info.Namespace + "}:",
		}
		if err := servers.Redis(t).Client.ZAdd(t.Context(), a.prefix+"watched", goredis.Z{Score: 1 << 53, Member: "a"}).Err(); err != nil {
			t.Fatal(err)
		}
		store.Broker = a
		return store
	}
}

func TestNoKeyIsOutOfStepWhateverHappens(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(string) adaptertest.Open{"by itself": fresh, "in pages": inPages} {
		t.Run(name, func(t *testing.T) {
			caps := capabilities
			caps.Sibling, caps.ModelRuns = nil, 6
			adaptertest.Model(t, auditing(open(servers.Redis(t).URL())), caps)
		})
	}
}
