package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// existing names the environment variable with the URL of a server to use instead of starting one.
const existing = "STEM_TEST_REDIS_URL"

// Shared are the servers of one test package, each started when a test first asks for it. Tests that share one keep apart by namespace
// and leave its settings alone. The zero value is ready.
type Shared struct {
	redis    shared[*Redis]
	cluster  shared[*Cluster]
	sentinel shared[*Sentinel]
}

// Main runs the tests of a package, ends the servers, and gives the exit code.
func (s *Shared) Main(m *testing.M) int {
	code := m.Run()
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Redis is a single server, or the one of STEM_TEST_REDIS_URL.
func (s *Shared) Redis(t testing.TB) *Redis {
	t.Helper()
	return s.redis.get(t, func(ctx context.Context) (*Redis, error) {
		if url := os.Getenv(existing); url != "" {
			return external(ctx, url)
		}
		return StartRedis(ctx)
	})
}

// Cluster is a Cluster of three nodes.
func (s *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	return s.cluster.get(t, func(ctx context.Context) (*Cluster, error) { return StartCluster(ctx) })
}

// Sentinel is a primary with one replica behind a Sentinel.
func (s *Shared) Sentinel(t testing.TB) *Sentinel {
	t.Helper()
	return s.sentinel.get(t, func(ctx context.Context) (*Sentinel, error) { return StartSentinel(ctx) })
}

// Close ends all servers that were started.
func (s *Shared) Close() error {
	var errs []error
	if s.redis.value != nil {
		errs = append(errs, s.redis.value.Close())
	}
	if s.cluster.value != nil {
		errs = append(errs, s.cluster.value.Close())
	}
	if s.sentinel.value != nil {
		errs = append(errs, s.sentinel.value.Close())
	}
	return errors.Join(errs...)
}

// external is a server that somebody else runs.
func external(ctx context.Context, url string) (*Redis, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("testserver: %s is no URL of a Redis server", existing) // the error would show the password
	}
	r := &Redis{Addr: o.Addr, external: url, Client: redis.NewClient(o)}
	if err := r.Client.Ping(ctx).Err(); err != nil {
		return nil, fmt.Errorf("testserver: %s: %s does not answer: %w", existing, o.Addr, err)
	}
	return r, nil
}

// shared is one server, started once. It belongs to the package's run and not to the test that asked first.
type shared[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (s *shared[T]) get(t testing.TB, start func(context.Context) (T, error)) T {
	t.Helper()
	s.once.Do(func() { s.value, s.err = start(context.WithoutCancel(t.Context())) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.value
}
