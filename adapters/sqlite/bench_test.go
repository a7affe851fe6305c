package sqlite_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stemd/stem"
)

const benchQueue = "bench"

// fill publishes n tasks of 200 bytes in batches.
func fill(b *testing.B, store stem.Store, n int) {
	b.Helper()
	body := []byte(`{"pad":"` + strings.Repeat("x", 190) + `"}`)
	for done := 0; done < n; {
		var msgs []stem.Message
		for range min(500, n-done) {
			h := stem.NewHeader("bench.noop", stem.Queue(benchQueue))
			m, err := stem.BuildMessage("stem", h, body)
			if err != nil {
				b.Fatal(err)
			}
			msgs = append(msgs, m)
		}
		if _, err := store.Broker.Publish(b.Context(), msgs...); err != nil {
			b.Fatal(err)
		}
		done += len(msgs)
	}
}

// BenchmarkDrain claims and settles 96 tasks at a time, results kept: one op is one task.
func BenchmarkDrain(b *testing.B) {
	for _, synchronous := range []string{"normal", "full"} {
		b.Run(synchronous, func(b *testing.B) {
			store := openBench(b, synchronous)
			fill(b, store, b.N)
			b.ResetTimer()
			for done := 0; done < b.N; {
				ds, err := store.Broker.Claim(b.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: benchQueue}}, Max: 96, Owner: "bench/1"})
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
		})
	}
}

// BenchmarkPublish publishes 500 tasks at a time: one op is one task.
func BenchmarkPublish(b *testing.B) {
	fill(b, openBench(b, "normal"), b.N)
}

func openBench(b *testing.B, synchronous string) stem.Store {
	b.Helper()
	return open(b, "sqlite://"+filepath.Join(b.TempDir(), "stem.db")+"?synchronous="+synchronous)
}
