package redis_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stemd/stem"
)

const benchQueue = "bench"

// batch is n new tasks of 200 bytes.
func batch(b *testing.B, n int) []stem.Message {
	b.Helper()
	body := []byte(`{"pad":"` + strings.Repeat("x", 190) + `"}`)
	msgs := make([]stem.Message, n)
	for i := range msgs {
		m, err := stem.BuildMessage("stem", stem.NewHeader("bench.noop", stem.Queue(benchQueue)), body)
		if err != nil {
			b.Fatal(err)
		}
		msgs[i] = m
	}
	return msgs
}

func fill(b *testing.B, store stem.Store, n int) {
	b.Helper()
	for done := 0; done < n; {
		msgs := batch(b, min(500, n-done))
		if _, err := store.Broker.Publish(b.Context(), msgs...); err != nil {
			b.Fatal(err)
		}
		done += len(msgs)
	}
}

// BenchmarkDrain claims and settles 96 tasks at a time, results kept: one op is one task.
func BenchmarkDrain(b *testing.B) { layouts(b, drain) }

// BenchmarkDrainSingly claims and settles one task at a time of what was published together: one op is one task.
func BenchmarkDrainSingly(b *testing.B) { drainBy(b, bench(b), 1) }

func drain(b *testing.B, store stem.Store) { drainBy(b, store, 96) }

func drainBy(b *testing.B, store stem.Store, most int) {
	fill(b, store, b.N)
	b.ResetTimer()
	for done := 0; done < b.N; {
		ds, err := store.Broker.Claim(b.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: benchQueue}}, Max: most, Owner: "bench/1"})
		if err != nil || len(ds) == 0 {
			b.Fatal(len(ds), err)
		}
		settlements := make([]stem.Settlement, len(ds))
		for i, d := range ds {
			settlements[i] = stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: stem.Status{
				ID: d.ID, Name: d.Name, Queue: d.Queue, State: stem.Succeeded, Result: []byte(`""`), Worker: "bench",
				EnqueuedAt: d.State.Created, StartedAt: d.State.Created, FinishedAt: d.State.Created,
			}}}
		}
		errs, err := store.Broker.Settle(b.Context(), settlements...)
		if err = errors.Join(append(errs, err)...); err != nil {
			b.Fatal(err)
		}
		done += len(ds)
	}
}

// BenchmarkPublish publishes 500 tasks at a time: one op is one task.
func BenchmarkPublish(b *testing.B) {
	layouts(b, func(b *testing.B, store stem.Store) {
		b.ResetTimer()
		fill(b, store, b.N)
	})
}

// BenchmarkPublishSingly publishes one task at a time from 1 and from 8 goroutines: one op is one task.
func BenchmarkPublishSingly(b *testing.B) {
	for name, producers := range map[string]int{"1": 1, "8": 8} {
		b.Run(name, func(b *testing.B) {
			store, msgs := bench(b), batch(b, b.N)
			b.ResetTimer()
			var wg sync.WaitGroup
			for p := range producers {
				wg.Go(func() {
					for i := p; i < len(msgs); i += producers {
						if _, err := store.Broker.Publish(b.Context(), msgs[i]); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// layouts runs a benchmark on a server, and on a Cluster with its namespace on one node and on all of them.
func layouts(b *testing.B, run func(*testing.B, stem.Store)) {
	b.Run("server", func(b *testing.B) { run(b, bench(b)) })
	b.Run("one node of a cluster", func(b *testing.B) {
		run(b, open(b, servers.Cluster(b).URL()+"&spread=off", stem.Namespace(stem.NewID())))
	})
	b.Run("spread cluster", func(b *testing.B) { run(b, open(b, servers.Cluster(b).URL(), stem.Namespace(stem.NewID()))) })
}

func bench(b *testing.B) stem.Store {
	b.Helper()
	server := servers.Redis(b)
	if err := server.Client.FlushAll(b.Context()).Err(); err != nil {
		b.Fatal(err)
	}
	return open(b, strings.Replace(server.URL(), "unix://", "redis+unix://", 1))
}
