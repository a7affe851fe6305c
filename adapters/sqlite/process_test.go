package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/adapters/sqlite"
)

func TestMain(m *testing.M) {
	adaptertest.CrashChild(sqlite.Open)
	if order := os.Getenv(childOrder); order != "" {
		if err := obey(order); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const share = 300

// work publishes tasks and settles whatever it claims. It says of each what has certainly happened.
func work(ctx context.Context, store stem.Store, name string) error {
	for n := 0; n < share; n++ {
		h := stem.NewHeader("t", stem.TaskID(fmt.Sprintf("%s-%d", name, n)), stem.Queue("q"))
		m, err := stem.BuildMessage("stem", h, nil)
		if err != nil {
			return err
		}
		if _, err := store.Broker.Publish(ctx, m); err != nil {
			return err
		}
		fmt.Println("accepted", m.ID)
		ds, err := store.Broker.Claim(ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 2, Owner: name + "/1"})
		if err != nil {
			return err
		}
		for _, d := range ds {
			fmt.Println("claimed", d.ID)
			status := stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Succeeded}
			errs, err := store.Broker.Settle(ctx, stem.Settlement{Receipt: d.Receipt, Result: &stem.StatusWrite{Status: status}})
			if err != nil || errs[0] != nil {
				return fmt.Errorf("settle %s: %v %w", d.ID, errs, err)
			}
			fmt.Println("settled", d.ID)
		}
	}
	return nil
}

func TestProcessesOnOneFileLoseNothingAndRunNothingTwice(t *testing.T) {
	t.Parallel()
	url := "sqlite://" + path(t)
	const processes = 4
	events := make(chan event, 16)
	var all []*child
	for i := range processes {
		all = append(all, start(t, events, "work", url, fmt.Sprintf("p%d", i)))
	}
	go func() {
		for _, c := range all {
			c.wait()
		}
		close(events)
	}()
	count := tally(t, events)
	if got := len(count["accepted"]); got != processes*share {
		t.Errorf("%d tasks were accepted, want %d", got, processes*share)
	}
	for id, n := range count["claimed"] {
		if n != 1 || count["settled"][id] != 1 {
			t.Errorf("%s was claimed %d times and settled %d times", id, n, count["settled"][id])
		}
	}
	counts, err := open(t, url).Broker.(stem.Inspector).Queues(t.Context())
	left := 0
	for _, c := range counts {
		left += c.Ready
	}
	if err != nil || left != processes*share-len(count["settled"]) {
		t.Errorf("%d are left, %d of %d were settled; %v", left, len(count["settled"]), processes*share, err)
	}
}

func TestAKilledProcessLosesNothingThatWasAcceptedNorBringsBackWhatWasSettled(t *testing.T) {
	t.Parallel()
	for _, synchronous := range []string{"normal", "full"} {
		t.Run(synchronous, func(t *testing.T) {
			t.Parallel()
			adaptertest.Crash(t, "sqlite://"+path(t)+"?synchronous="+synchronous, sqlite.Open, nil)
		})
	}
}
