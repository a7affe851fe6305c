package adaptertest

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// CrashRounds is how often Crash kills when STEM_TEST_ROUNDS does not say.
const CrashRounds = 25

// Crash has a process work the store of a URL at full speed and kills it at a random moment, again and again. After each kill
// nothing that the store had accepted may be lost and nothing that it had settled may have come back; at the end everything that is
// left runs to its end and every group has published its callback. The test binary must call CrashChild in its TestMain. After each
// round between is called; nil: not.
func Crash(t *testing.T, url string, open func(ctx context.Context, url string, opts ...stem.StoreOption) (stem.Store, error), between func(t *testing.T)) {
	rounds := CrashRounds
	if s := os.Getenv("STEM_TEST_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("STEM_TEST_ROUNDS is %q, want a number", s)
		}
	}
	c := &crash{T: t, url: url, known: map[string]string{}, saved: map[string]int{}}
	seed := rand.Uint64N(1 << 40)
	t.Logf("seeds %d to %d", seed, seed+uint64(rounds)-1)
	for round := range uint64(rounds) {
		c.round(seed + round)
		if between != nil {
			between(t)
		}
		store, err := open(t.Context(), url)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		c.check(store)
		if round == uint64(rounds)-1 {
			c.finish(store)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// crash is what is certain of a store whose processes were killed.
type crash struct {
	*testing.T
	url    string
	known  map[string]string // what the store has said of each task: accepted, done, dead
	fresh  []string          // those of the last round
	groups []string
	over   bool           // everything was run to its end
	saved  map[string]int // highest number saved in each record
}

// round starts a process and kills it after up to 80 ms of work.
func (c *crash) round(seed uint64) {
	c.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashURL+"="+c.url, fmt.Sprintf("%s=%d", crashSeed, seed))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.fresh = nil
	working := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if !working {
			working = true
			time.AfterFunc(time.Duration(rand.Int64N(int64(80*time.Millisecond))), func() { _ = cmd.Process.Kill() })
		}
		c.note(lines.Text())
	}
	_ = cmd.Wait() // killed
	if !working {
		c.Fatalf("seed %d: the process said nothing", seed)
	}
}

func (c *crash) note(line string) {
	what, id, _ := strings.Cut(line, " ")
	switch what {
	case "group":
		c.groups = append(c.groups, id)
	case "saved":
		name, n, _ := strings.Cut(id, " ")
		c.saved[name], _ = strconv.Atoi(n)
	case "accepted":
		if c.known[id] == "" {
			c.known[id] = what
		}
		c.fresh = append(c.fresh, id)
	case "done", "dead":
		c.known[id] = what
		c.fresh = append(c.fresh, id)
	default:
		c.Errorf("the process says: %s", line)
	}
}

// check compares a store that was opened again with what is certain since the round before.
func (c *crash) check(store stem.Store) {
	c.Helper()
	for batch := range slices.Chunk(c.fresh, 500) {
		statuses, err := store.Results.Load(c.Context(), batch...)
		if err != nil {
			c.Fatal(err)
		}
		for i, id := range batch {
			switch s, said := statuses[i], c.known[id]; {
			case s == nil:
				c.Errorf("task %s was %s and is gone", id, said)
			case c.over && !s.State.Terminal():
				c.Errorf("task %s was run to its end and is %s", id, s.State)
			case said == "done" && s.State != stem.Succeeded, said == "dead" && s.State != stem.Failed:
				c.Errorf("task %s was %s and is %s again", id, said, s.State)
			}
		}
	}
	for name, n := range c.saved {
		found, err := store.Records.Load(c.Context(), stem.RecordRef{Kind: crashRecord, ID: name})
		if err != nil {
			c.Fatal(err)
		}
		if found[0] == nil {
			c.Errorf("record %s was saved and is gone", name)
		} else if got, err := strconv.Atoi(string(found[0].Body)); err != nil || got < n {
			c.Errorf("record %s says %s, %d was saved", name, found[0].Body, n)
		}
	}
	if file, ok := store.Broker.(stem.FileStore); ok {
		if problems, err := file.Check(c.Context()); err != nil || len(problems) > 0 {
			c.Errorf("the file is damaged: %v, %v", problems, err)
		}
	}
}

// finish runs what is left to its end.
func (c *crash) finish(store stem.Store) {
	c.Helper()
	ctx, stop := context.WithTimeout(c.Context(), 4*patience)
	defer stop()
	inspector, ok := store.Broker.(stem.Inspector)
	if !ok {
		c.Fatal("the crash test looks into the queues: it needs an Inspector")
	}
	for left := 1; left > 0; {
		ds, err := store.Broker.Claim(ctx, crashClaim("finish", 500))
		if err != nil {
			c.Fatal(err)
		}
		settlements := make([]stem.Settlement, len(ds))
		for i, d := range ds {
			if said := c.known[d.ID]; said == "done" || said == "dead" {
				c.Errorf("task %s was %s and is delivered again", d.ID, said)
			}
			if settlements[i], err = crashSettlement(d, stem.Done); err != nil {
				c.Fatal(err)
			}
		}
		errs, err := store.Broker.Settle(ctx, settlements...)
		if err != nil {
			c.Fatal(err)
		}
		for i, err := range errs {
			if err != nil {
				c.Errorf("settle %s: %v", ds[i].ID, err)
			}
		}
		counts, err := inspector.Queues(ctx)
		if err != nil {
			c.Fatal(err)
		}
		left = 0
		for _, q := range counts {
			if q.Queue == queue {
				left = q.Ready + q.Delayed + q.Running
			}
		}
	}
	c.fresh = slices.Collect(maps.Keys(c.known))
	c.over = true
	c.check(store)
	c.callbacks(ctx, store)
}

// callbacks looks that every group whose members were accepted has published its callback, once.
func (c *crash) callbacks(ctx context.Context, store stem.Store) {
	c.Helper()
	published := map[string]int{}
	for {
		claim := crashClaim("callbacks", 500)
		claim.Queues[0].Queue, claim.Wait, claim.Lease = callbacks, 0, time.Hour
		ds, err := store.Broker.Claim(ctx, claim)
		if err != nil {
			c.Fatal(err)
		}
		if len(ds) == 0 {
			break
		}
		for _, d := range ds {
			published[d.ID]++
		}
	}
	complete := 0
	for _, id := range c.groups {
		whole := true
		for i := range 3 {
			whole = whole && c.known[fmt.Sprintf("%s.member%d", id, i)] != ""
		}
		if !whole {
			continue // killed before its members were accepted
		}
		complete++
		group, err := store.Results.LoadGroups(ctx, id)
		if err != nil {
			c.Fatal(err)
		}
		if n := published[id+".callback"]; n != 1 || group[0] == nil || group[0].State != stem.GroupFired {
			c.Errorf("group %s is %+v, its callback was published %d times", id, group[0], n)
		}
	}
	c.Logf("%d tasks, %d groups", len(c.known), complete)
	if complete == 0 {
		c.Error("no group was complete: the rounds are too short to show anything")
	}
}
