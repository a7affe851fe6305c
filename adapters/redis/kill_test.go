package redis_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem/internal/testserver"
)

// killRounds is how often the server is killed: STEM_TEST_ROUNDS, or a few times.
func killRounds(t *testing.T) int {
	rounds := 4
	if s := os.Getenv("STEM_TEST_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("STEM_TEST_ROUNDS is %q, want a number", s)
		}
	}
	return rounds
}

// killed kills and restarts a server again and again while it is worked at full speed, each time when ready says so.
func killed(t *testing.T, server *testserver.Redis, ready func() bool) {
	t.Helper()
	f := newCrowd(t, server.URL(), 3, 20)
	for range killRounds(t) {
		f.flows(100 + rand.IntN(1500))
		until(t, "a moment to kill it", ready)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Launch(); err != nil { // who calls meanwhile is refused, then told LOADING
			t.Fatal(err)
		}
	}
	f.complete()
	f.once()
	if f.failures == 0 {
		t.Error("no call failed: the server was not killed under load")
	}
}

func TestAServerKilledAtFullSpeedLosesNothingWhenItSyncsAlways(t *testing.T) {
	t.Parallel()
	killed(t, testserver.NewRedis(t, "appendfsync always"), func() bool { return true })
}

// The server writes its file before it answers, and what is written survives the process. It does not write while the fsync of the
// second before is under way, for up to two seconds: docs/redis.md names that, and here such a moment is not chosen.
func TestAServerKilledAtFullSpeedLosesNothingWhenItSyncsEverySecond(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t, "appendfsync everysec")
	killed(t, server, func() bool {
		now, err := server.Client.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		info, err := server.Client.Info(t.Context(), "persistence").Result()
		if err != nil {
			t.Fatal(err)
		}
		// The fsync begins with the second.
		into := now.Sub(now.Truncate(time.Second))
		return into > 200*time.Millisecond && into < 800*time.Millisecond && strings.Contains(info, "aof_pending_bio_fsync:0\r\n")
	})
}
