package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/adapters/sqlite"
)

// workerURL makes this test binary a process that works a store until it is killed or has published its share.
const workerURL = "STEM_TEST_SQLITE_WORKER"

func TestMain(m *testing.M) {
	adaptertest.CrashChild(sqlite.Open)
	if url := os.Getenv(workerURL); url != "" {
		if err := work(url, os.Args[1]); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const share = 300

// work publishes tasks and settles whatever it claims. It says of each what has certainly happened.
func work(url, name string) error {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, url)
	if err != nil {
		return err
	}
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
	return store.Close()
}

// worker starts a process; its lines are passed on until it ends.
func worker(t *testing.T, url, name string, line func(cmd *exec.Cmd, what, id string)) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], name)
	cmd.Env = append(os.Environ(), workerURL+"="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, id, _ := strings.Cut(lines.Text(), " ")
		line(cmd, what, id)
	}
	return cmd
}

func TestProcessesOnOneFileLoseNothingAndRunNothingTwice(t *testing.T) {
	url := "sqlite://" + path(t)
	type event struct{ what, id string }
	events := make(chan event, 16)
	const processes = 4
	for i := range processes {
		go func() {
			cmd := worker(t, url, fmt.Sprintf("p%d", i), func(_ *exec.Cmd, what, id string) { events <- event{what, id} })
			if err := cmd.Wait(); err != nil {
				events <- event{"error", err.Error()}
			}
			events <- event{what: "end"}
		}()
	}
	count := map[string]map[string]int{}
	for ended := 0; ended < processes; {
		switch e := <-events; e.what {
		case "end":
			ended++
		case "error":
			t.Error(e.id)
		default:
			if count[e.what] == nil {
				count[e.what] = map[string]int{}
			}
			count[e.what][e.id]++
		}
	}
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
	for _, synchronous := range []string{"normal", "full"} {
		t.Run(synchronous, func(t *testing.T) {
			adaptertest.Crash(t, "sqlite://"+path(t)+"?synchronous="+synchronous, sqlite.Open, nil)
		})
	}
}
