package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
)

// crowdSeconds is how long the crowd works when STEM_TEST_SECONDS does not say.
const crowdSeconds = 3

// crowdLog is what the log of a file may grow to among processes that write and read it all the time.
const crowdLog = 128 << 20

// One process settles, three publish, and three open the file again and again and look around, each as fast as it can.
func TestACrowdOfProcessesOnOneFileSettlesEverythingOnceAndNobodyMeetsALock(t *testing.T) {
	seconds := crowdSeconds
	if s := os.Getenv("STEM_TEST_SECONDS"); s != "" {
		var err error
		if seconds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("STEM_TEST_SECONDS is %q, want a number", s)
		}
	}
	file := path(t)
	url := "sqlite://" + file
	store := open(t, url)
	events := make(chan event, 1024)
	settler := start(t, events, "settle", url, "settler")
	var producers, lookers []*child
	for i := range 3 {
		producers = append(producers, start(t, events, "produce", url, fmt.Sprintf("p%d", i)))
		lookers = append(lookers, start(t, events, "look", url, fmt.Sprintf("l%d", i)))
	}
	go func() {
		time.Sleep(time.Duration(seconds) * time.Second) // the length of the test, not a wait for anything
		for _, group := range [][]*child{producers, lookers, {settler}} {
			for _, c := range group {
				c.end()
			}
			for _, c := range group {
				c.wait()
			}
		}
		close(events)
	}()
	stop, longest := make(chan struct{}), make(chan int64)
	go func() { longest <- watchLog(file, stop) }()
	count := tally(t, events)
	close(stop)
	length := <-longest

	for id := range count["accepted"] {
		if count["settled"][id] != 1 {
			t.Errorf("task %s was settled %d times", id, count["settled"][id])
		}
	}
	if len(count["accepted"]) == 0 || len(count["settled"]) != len(count["accepted"]) || len(count["looked"]) < 3 {
		t.Errorf("%d tasks were accepted and %d settled, %d looked", len(count["accepted"]), len(count["settled"]), len(count["looked"]))
	}
	queues, err := store.Broker.(stem.Inspector).Queues(t.Context())
	if err != nil || len(queues) != 0 {
		t.Errorf("left: %+v, %v", queues, err)
	}
	if length > crowdLog {
		t.Errorf("the log had grown to %d bytes", length)
	}
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tasks; the log was up to %d MiB long, the file is %d MiB", len(count["settled"]), length>>20, st.Size()>>20)
}

// watchLog is the greatest length of a file's log until stop.
func watchLog(file string, stop <-chan struct{}) (longest int64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return longest
		case <-tick.C:
			if st, err := os.Stat(file + "-wal"); err == nil {
				longest = max(longest, st.Size())
			}
		}
	}
}

// produce publishes one task at a time until ctx ends.
func produce(ctx context.Context, store stem.Store, name string) error {
	for n := 0; ctx.Err() == nil; n++ {
		m, err := stem.BuildMessage("stem", stem.NewHeader("t", stem.TaskID(fmt.Sprint(name, "-", n)), stem.Queue("q")), make([]byte, 2000))
		if err != nil {
			return err
		}
		out, err := store.Broker.Publish(context.WithoutCancel(ctx), m)
		if err != nil || out[0].State != stem.Accepted {
			return fmt.Errorf("publish %s: %+v %w", m.ID, out, err)
		}
		fmt.Println("accepted", m.ID)
	}
	return nil
}

// settleAll settles what comes until ctx has ended and nothing is left, and maintains the store, as a daemon does.
func settleAll(ctx context.Context, store stem.Store, name string) error {
	maintained := time.Now()
	for {
		over := ctx.Err() != nil
		ds, err := store.Broker.Claim(context.WithoutCancel(ctx), stem.Claim{
			Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 100, Owner: name + "/1", Wait: 100 * time.Millisecond,
		})
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		if len(ds) == 0 && over {
			return nil
		}
		settlements := make([]stem.Settlement, len(ds))
		for i, d := range ds {
			status := stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Succeeded, Result: []byte("null")}
			settlements[i] = stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: status, TTL: time.Second}}
		}
		errs, err := store.Broker.Settle(context.WithoutCancel(ctx), settlements...)
		if err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		for i, err := range errs {
			if err != nil {
				return fmt.Errorf("settle %s: %w", ds[i].ID, err)
			}
			fmt.Println("settled", ds[i].ID)
		}
		if time.Since(maintained) > 200*time.Millisecond {
			maintained = time.Now()
			if _, err := store.Broker.(stem.Maintainer).Maintain(context.WithoutCancel(ctx)); err != nil {
				return fmt.Errorf("maintain: %w", err)
			}
		}
	}
}

// wholeEvery is how often a look is one at the whole file: while that is read the log can not be cut.
const wholeEvery = 20

// look opens the store, reads as the command line does and closes it, until ctx ends; at times it checks and copies the whole file.
func look(ctx context.Context, url string) error {
	dir, err := os.MkdirTemp("", "stem-look")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for n := 0; ctx.Err() == nil; n++ {
		copied := ""
		if n%wholeEvery == 0 {
			copied = filepath.Join(dir, fmt.Sprint(n))
		}
		if err := lookOnce(context.WithoutCancel(ctx), url, copied); err != nil {
			return err
		}
		fmt.Println("looked", n)
	}
	return nil
}

func lookOnce(ctx context.Context, url, copied string) error {
	store, err := sqlite.Open(ctx, url)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer store.Close()
	if _, err := store.Broker.(stem.Inspector).Queues(ctx); err != nil {
		return fmt.Errorf("queues: %w", err)
	}
	if _, err := store.Results.List(ctx, stem.StatusQuery{Limit: 50}); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if copied == "" {
		return nil
	}
	file := store.Broker.(stem.FileStore)
	if problems, err := file.Check(ctx); err != nil || len(problems) > 0 {
		return fmt.Errorf("check: %v %w", problems, err)
	}
	if err := file.Backup(ctx, copied); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return os.Remove(copied)
}
