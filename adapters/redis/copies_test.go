package redis_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// A server runs one script at a time: what one copies in megabytes, all others wait for. Here are tasks as large as they may be, behind one
// that is small.
const (
	largeBytes = 1000 << 10
	largeTasks = 24
	// claimBytes is the most that one claim may copy, which looks at eight tasks at a time, and scriptBytes what all else may.
	claimBytes, scriptBytes = 13 << 20, 6 << 20
)

// sizeOf is how large the body of one of them is.
func sizeOf(i int) int {
	if i == 0 {
		return 10
	}
	return largeBytes
}

// publishLarge publishes large tasks and returns their ids.
func publishLarge(t *testing.T, store stem.Store) (ids []string) {
	t.Helper()
	for i := range largeTasks {
		id := fmt.Sprintf("large-%02d", i)
		m, err := stem.BuildMessage("stem", stem.NewHeader("test.task", stem.TaskID(id), stem.Queue(queue)), bytes.Repeat([]byte{'x'}, sizeOf(i)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Broker.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// claimLarge claims all large tasks.
func claimLarge(t *testing.T, store stem.Store) (all []stem.Delivery) {
	t.Helper()
	for len(all) < largeTasks {
		c := ask(time.Minute)
		c.Max = largeTasks
		ds, err := store.Broker.Claim(t.Context(), c)
		if err != nil || len(ds) == 0 {
			t.Fatalf("claimed %d and then %d, %v", len(all), len(ds), err)
		}
		if n := (len(ds) - 1) * largeBytes; n > claimBytes {
			t.Errorf("one claim took %d tasks, %d MiB", len(ds), n>>20)
		}
		all = append(all, ds...)
	}
	return all
}

func TestNoScriptCopiesAllThatIsLargeAtOnce(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	store := open(t, server.URL())
	ids := publishLarge(t, store)
	fewest := largeTasks * largeBytes / scriptBytes // scripts for all of them

	claimed := claimLarge(t, store)
	for i, d := range claimed {
		if d.ID != ids[i] || len(d.Envelope.Body) != sizeOf(i) {
			t.Fatalf("claim %d is %s with %d bytes, want %s", i, d.ID, len(d.Envelope.Body), ids[i])
		}
	}
	var deaths []stem.Settlement
	for _, d := range claimed {
		deaths = append(deaths, stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead, Reason: "test", Result: &stem.StatusWrite{
			Status: stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Failed, Result: []byte(`"` + strings.Repeat("y", largeBytes) + `"`)},
		}})
	}
	if errs, err := store.Broker.Settle(t.Context(), deaths...); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}

	before := scriptsOf(t, server)
	loaded, err := store.Results.Load(t.Context(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range loaded {
		if s == nil || s.ID != ids[i] || len(s.Result) != largeBytes+2 {
			t.Fatalf("status %d: %+v", i, s)
		}
	}
	if n := scriptsOf(t, server) - before; n < fewest {
		t.Errorf("all results came of %d scripts", n)
	}

	before = scriptsOf(t, server)
	back, err := store.Broker.(stem.Inspector).Replay(t.Context(), stem.Replay{DeadLetterQuery: stem.DeadLetterQuery{Limit: largeTasks}})
	if err != nil || len(back) != largeTasks || back[0].Err != nil {
		t.Fatal(len(back), err)
	}
	if n := scriptsOf(t, server) - before; n < fewest {
		t.Errorf("all dead letters went back in %d scripts", n)
	}
	deaths = nil
	for i, d := range claimLarge(t, store) {
		if d.ID != ids[i] {
			t.Fatalf("after the replay %s is claimed as number %d", d.ID, i)
		}
		deaths = append(deaths, stem.Settlement{Receipt: d.Receipt, Kind: stem.Dead, Reason: "again", Result: &stem.StatusWrite{
			Status: stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Failed},
		}})
	}

	before = scriptsOf(t, server)
	errs, err := store.Broker.Settle(t.Context(), deaths...)
	if err != nil || len(errs) != largeTasks {
		t.Fatal(errs, err)
	}
	for i, err := range errs {
		if err != nil {
			t.Errorf("settlement %d: %v", i, err)
		}
	}
	if n := scriptsOf(t, server) - before; n < fewest {
		t.Errorf("all became dead letters in %d scripts", n)
	}
	page, err := store.Broker.(stem.Inspector).DeadLetters(t.Context(), stem.DeadLetterQuery{Limit: largeTasks})
	if err != nil || len(page.Items) != largeTasks || page.Items[0].Message.ID != ids[largeTasks-1] {
		t.Errorf("%d dead letters, %v", len(page.Items), err)
	}
}
