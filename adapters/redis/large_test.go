package redis_test

import (
	"fmt"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

const large = stem.MaxMessage - 1000

// What one script gives to a claim holds up the server and goes through one answer, however many large tasks are asked for.
func TestAClaimOfManyLargeTasksTakesSomeAndRingsForTheRest(t *testing.T) {
	t.Parallel()
	const tasks, size, most = 12, large, 5 << 20
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

func TestAListOfLargeTasksIsReadAFewAtATime(t *testing.T) {
	t.Parallel()
	const waiting, ended = 20, 20
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	for i := range waiting + ended {
		m := message(t, fmt.Sprintf("task-%02d", i))
		m.Envelope.Body = make([]byte, large)
		if _, err := store.Broker.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if i >= ended {
			continue
		}
		ds := claim(t, store, 1)
		settle(t, store, func(int) stem.Settlement {
			s := done(ds[0])
			s.Result.Status.Result = make([]byte, large)
			return s
		}, ds...)
	}
	list := func() []stem.Status {
		t.Helper()
		page, err := store.Results.List(t.Context(), stem.StatusQuery{Limit: 100})
		if err != nil || len(page.Items) != waiting+ended {
			t.Fatalf("%d of %d are listed, %v", len(page.Items), waiting+ended, err)
		}
		return page.Items
	}
	list() // the server knows the scripts now
	if err := server.Client.ConfigResetStat(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	states := map[stem.TaskState]int{}
	for _, s := range list() {
		states[s.State]++
	}
	if states[stem.Queued] != waiting || states[stem.Succeeded] != ended {
		t.Error(states)
	}
	scripts := scriptsOf(t, server)
	if least := (waiting + ended) * large / (5 << 20); scripts < least {
		t.Errorf("%d scripts read it all, want at least %d", scripts, least)
	}
}
