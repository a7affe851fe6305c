package redis_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// A call of many messages is several scripts of several kinds, and the server forgets them when it is restarted.
func TestMessagesOfOneCallKeepTheirOrderThoughTheServerKnowsOnlySomeScripts(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	few, many := func() []string { return book(t, store, 2, nil) }, func() []string { return book(t, store, 515, nil) }
	for _, first := range []func() []string{few, many} {
		if err := server.Client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if err := server.Client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		first()
		if err := server.Client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		want := many()
		var got []string
		for len(got) < len(want) {
			ds := claim(t, store, len(want))
			if len(ds) == 0 {
				t.Fatalf("%d of %d tasks are there", len(got), len(want))
			}
			got = append(got, idsOf(ds)...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("claimed %s first and %s last, want %s and %s", got[0], got[len(got)-1], want[0], want[len(want)-1])
		}
	}
}

// inTurn is n messages of two priorities in turn.
func inTurn(t *testing.T, n int) []stem.Message {
	t.Helper()
	msgs := make([]stem.Message, n)
	for i := range msgs {
		msgs[i] = message(t, fmt.Sprintf("task-%03d", i))
		msgs[i].GeneratedID, msgs[i].Priority = true, i%2
	}
	return msgs
}

func TestAMessageWhoseIDHadALifeBeforeKeepsItsPlaceInItsCall(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"one by one": 3, "each by itself": 12, "in pages": 200} {
		t.Run(name, func(t *testing.T) {
			store := open(t, testserver.NewRedis(t).URL())
			msgs := inTurn(t, n)
			publish := func(msgs ...stem.Message) {
				t.Helper()
				out, err := store.Broker.Publish(t.Context(), msgs...)
				if err != nil {
					t.Fatal(err)
				}
				for i, p := range out {
					if p.State != stem.Accepted || p.ID != msgs[i].ID {
						t.Fatalf("%+v, want %s accepted", p, msgs[i].ID)
					}
				}
			}
			publish(msgs[0])
			settle(t, store, func(int) stem.Settlement { return done(stem.Delivery{Message: msgs[0]}) }, claim(t, store, 1)...)
			publish(msgs...)
			var want []string
			for priority := 1; priority >= 0; priority-- {
				for i := priority; i < n; i += 2 {
					want = append(want, msgs[i].ID)
				}
			}
			var got []string
			for range 5 {
				got = append(got, idsOf(claim(t, store, n))...)
			}
			if !slices.Equal(got, want) {
				t.Errorf("claimed %v, want %v", got, want)
			}
		})
	}
}

func TestWhatIsKnownOfSomeMessagesOfACallIsNoMatterToTheOthers(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"one by one": 4, "each by itself": 12, "in pages": 200} {
		t.Run(name, func(t *testing.T) {
			store := open(t, testserver.NewRedis(t).URL())
			msgs := inTurn(t, n)
			if _, err := store.Broker.Publish(t.Context(), msgs[1], msgs[3]); err != nil {
				t.Fatal(err)
			}
			out, err := store.Broker.Publish(t.Context(), msgs...)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range out {
				if want := map[bool]stem.PublishState{true: stem.Duplicate, false: stem.Accepted}[i == 1 || i == 3]; p.State != want || p.ID != msgs[i].ID {
					t.Errorf("message %d: %+v, want state %d", i, p, want)
				}
			}
			if c := counts(t, store); c.Ready != n {
				t.Errorf("%d tasks are ready, want %d", c.Ready, n)
			}
		})
	}
}
