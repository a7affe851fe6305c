package redis_test

import (
	"testing"

	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

func TestAKilledClientLosesNothingThatWasAcceptedNorBringsBackWhatWasSettled(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"single": testserver.NewRedis(t).URL(), "cluster": testserver.NewCluster(t).URL(), "sentinel": testserver.NewSentinel(t).URL(),
		"one node of a cluster": testserver.NewCluster(t).URL() + "&spread=off",
	} {
		t.Run(name, func(t *testing.T) { adaptertest.Crash(t, url, redis.Open, nil) })
	}
}

// With appendfsync always an answer means that the disk has it, so the server may be killed as well.
func TestAServerKilledWithItsClientLosesNothingWhenItSyncsAlways(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t, "appendfsync always")
	adaptertest.Crash(t, server.URL(), redis.Open, func(t *testing.T) {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
