package redis_test

import (
	"fmt"
	"testing"

	"github.com/stemd/stem"
)

// What one script gives to a claim holds up the server and goes through one answer, however many large tasks are asked for.
func TestAClaimOfManyLargeTasksTakesSomeAndRingsForTheRest(t *testing.T) {
	t.Parallel()
	const tasks, size, most = 12, stem.MaxMessage - 1000, 5 << 20
	store := fresh(servers.Redis(t).URL())(t)
	for i := range tasks {
		m := message(t, fmt.Sprintf("task-%02d", i))
		m.Envelope.Body = make([]byte, size)
		if _, err := store.Broker.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for next := 0; next < tasks; {
		c := ask(patience)
		c.Max, c.Wait = tasks, patience
		ds, err := store.Broker.Claim(t.Context(), c)
		if err != nil || len(ds) == 0 || len(ds)*size > most {
			t.Fatalf("claimed %d at once, %v", len(ds), err)
		}
		for _, d := range ds {
			if want := fmt.Sprintf("task-%02d", next); d.ID != want || len(d.Envelope.Body) != size {
				t.Fatalf("claimed %s with %d bytes, want %s", d.ID, len(d.Envelope.Body), want)
			}
			next++
		}
	}
}
