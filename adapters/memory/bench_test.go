package memory_test

import (
	"fmt"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
)

// One op is the whole way of one task through the store: publish, claim, settle, in batches of 100.
func BenchmarkCycle(b *testing.B) {
	for _, backlog := range []int{0, 100_000} {
		for _, keep := range []bool{false, true} {
			b.Run(fmt.Sprintf("backlog=%d/results=%t", backlog, keep), func(b *testing.B) {
				s, err := memory.Open(b.Context(), "memory://")
				if err != nil {
					b.Fatal(err)
				}
				const batch = 100
				body := make([]byte, 200)
				ids := make([]string, b.N+backlog+batch)
				for i := range ids {
					ids[i] = fmt.Sprintf("0190a6e2-0000-7000-8000-%012d", i)
				}
				n := 0
				put := func() {
					msgs := make([]stem.Message, batch)
					for i := range msgs {
						msgs[i] = stem.Message{ID: ids[n%len(ids)], Name: "t", Queue: "q", Envelope: stem.Envelope{Body: body}, GeneratedID: true}
						n++
					}
					if _, err := s.Broker.Publish(b.Context(), msgs...); err != nil {
						b.Fatal(err)
					}
				}
				for n < backlog {
					put()
				}
				ask := stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: batch, Owner: "n/b"}
				b.ReportAllocs()
				b.ResetTimer()
				for done := 0; done < b.N; {
					put()
					ds, err := s.Broker.Claim(b.Context(), ask)
					if err != nil {
						b.Fatal(err)
					}
					settlements := make([]stem.Settlement, len(ds))
					for i, d := range ds {
						settlements[i] = stem.Settlement{Receipt: d.Receipt, Kind: stem.Done}
						if keep {
							settlements[i].Result = &stem.StatusWrite{Status: stem.Status{ID: d.ID, Name: d.Name, Queue: d.Queue, State: stem.Succeeded}}
						}
					}
					if _, err := s.Broker.Settle(b.Context(), settlements...); err != nil {
						b.Fatal(err)
					}
					done += len(ds)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
			})
		}
	}
}
