package testserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem/internal/testserver"
)

// holder makes this test binary a process that starts a server, prints its pid and directory, and stays.
const holder = "STEM_TEST_HOLDER"

func TestMain(m *testing.M) {
	if os.Getenv(holder) == "" {
		os.Exit(m.Run())
	}
	r, err := testserver.StartRedis(context.Background())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(r.Pid(), r.Dir)
	select {}
}

func TestAServerComesBackAfterKill9WithItsData(t *testing.T) {
	r := testserver.NewRedis(t, "appendfsync always")
	must(t, r.Client.Set(t.Context(), "k", "v", 0).Err())
	must(t, r.Kill())
	if err := r.Client.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a killed server answered")
	}
	must(t, r.Start(t.Context()))
	if v, err := r.Client.Get(t.Context(), "k").Result(); v != "v" {
		t.Fatalf("k is %q, %v", v, err)
	}
}

func TestAPausedServerDoesNotAnswerUntilItIsResumed(t *testing.T) {
	r := testserver.NewRedis(t)
	must(t, r.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Client.Ping(ctx).Err(); err == nil {
		t.Fatal("a stopped server answered")
	}
	must(t, r.Resume())
	must(t, r.Ready(t.Context()))
}

func TestAServerDiesWithTheProcessThatStartedItAndItsFilesAreRemovedLater(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holder+"=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	var pid int
	var dir string
	if _, err := fmt.Sscan(line, &pid, &dir); err != nil {
		t.Fatalf("the process said %q: %v", line, err)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for end := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil && !zombie(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the server %d still runs", pid)
		}
	}
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(dir+"/lock", old, old))
	testserver.NewRedis(t)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s is still there: %v", dir, err)
	}
}

// zombie is a dead process that nobody has waited for: where no init adopts, an orphan stays one.
func zombie(pid int) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z")
}

func TestAMissingBinarySaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := testserver.StartRedis(t.Context())
	if err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Fatalf("error is %v", err)
	}
}

func TestAnExistingServerIsUsedWhenTheEnvironmentNamesOne(t *testing.T) {
	r := testserver.NewRedis(t)
	t.Setenv("STEM_TEST_REDIS_URL", r.URL())
	var servers testserver.Shared
	shared := servers.Redis(t)
	if shared.URL() != r.URL() {
		t.Errorf("the shared server is %s, want %s", shared.URL(), r.URL())
	}
	if err := shared.Kill(); err == nil {
		t.Error("a server of somebody else was killed")
	}
	must(t, servers.Close())
	must(t, r.Client.Ping(t.Context()).Err())
}

func TestAClusterServesEveryKeyAlsoWhileItsSlotMoves(t *testing.T) {
	c := testserver.NewCluster(t)
	client := c.Client()
	defer client.Close()
	const n = 300
	for i := range n {
		must(t, client.Set(t.Context(), fmt.Sprintf("{tag}:%d", i), i, 0).Err())
	}
	before, err := c.Owner(t.Context(), "{tag}")
	must(t, err)
	m, err := c.Migrate(t.Context(), "{tag}")
	must(t, err)
	_, err = m.Move(t.Context(), n/2)
	must(t, err)
	all := func() {
		t.Helper()
		for i := range n {
			if v, err := client.Get(t.Context(), fmt.Sprintf("{tag}:%d", i)).Int(); v != i {
				t.Fatalf("key %d is %d: %v", i, v, err)
			}
		}
	}
	all()
	must(t, m.Finish(t.Context()))
	all()
	if after, err := c.Owner(t.Context(), "{tag}"); err != nil || after == before {
		t.Fatalf("the slot is where it was: %v", err)
	}
}

func TestSentinelMakesTheReplicaThePrimaryWhenTheOldOneDies(t *testing.T) {
	s := testserver.NewSentinel(t)
	old, err := s.Primary(t.Context())
	must(t, err)
	must(t, old.Client.Set(t.Context(), "k", "v", 0).Err())
	if n, err := old.Client.Wait(t.Context(), 1, 10*time.Second).Result(); n != 1 {
		t.Fatalf("%d replicas have it: %v", n, err)
	}
	must(t, old.Kill())
	must(t, s.Promoted(t.Context(), old))
	now, err := s.Primary(t.Context())
	must(t, err)
	if v, err := now.Client.Get(t.Context(), "k").Result(); v != "v" {
		t.Fatalf("k is %q: %v", v, err)
	}
}

func TestAServerWithTLSRefusesAStrangersRoot(t *testing.T) {
	r, certs := testserver.NewRedisTLS(t, "tls-auth-clients yes")
	must(t, r.Client.Ping(t.Context()).Err())
	o, err := redis.ParseURL(r.URL())
	must(t, err)
	client := redis.NewClient(o)
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("without the root in %s: %v", certs.CA, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
