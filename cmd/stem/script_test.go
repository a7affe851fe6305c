package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
	"github.com/stemd/stem/internal/proc"
)

// The scripts run this program as a user would; `seed` makes the store they look at, as a daemon would have left it.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"stem": main}) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_RUNTIME_DIR", filepath.Join(e.WorkDir, "run"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("STORE", "sqlite://"+filepath.Join(e.WorkDir, "stem.db"))
			return os.MkdirAll(filepath.Join(e.WorkDir, "run"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"seed": seed, "redis": startRedis},
	})
}

// seed fills the store of $STORE: `seed daemon` writes the records of a live daemon, `seed dead ID QUEUE` a dead letter,
// `seed done ID RESULT` a task that succeeded, `seed running ID` one that runs, `seed lost` a daemon that was killed.
func seed(ts *testscript.TestScript, _ bool, args []string) {
	ctx, store := context.Background(), openSeed(ts)
	defer store.Close()
	client := stem.NewClient(store)
	run := func(id, queue string) stem.Delivery {
		_, err := client.Enqueue(ctx, "media.resize", json.RawMessage(`{"path":"a.png","width":1}`), stem.TaskID(id), stem.Queue(queue))
		ts.Check(err)
		ds, err := store.Broker.Claim(ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: 1, Owner: "host-a/1"})
		ts.Check(err)
		return ds[0]
	}
	end := func(d stem.Delivery, k stem.Kind, reason string, s stem.Status) {
		s.Name, s.Queue, s.StartedAt, s.FinishedAt, s.EnqueuedAt = d.Name, d.Queue, time.Now(), time.Now(), d.State.Created
		errs, err := store.Broker.Settle(ctx, stem.Settlement{Receipt: d.Receipt, Kind: k, Reason: reason, Result: &stem.StatusWrite{Status: s}})
		ts.Check(err)
		ts.Check(errs[0])
	}
	switch args[0] {
	case "daemon":
		ts.Check(seedDaemon(ts, store))
	case "lost":
		ts.Check(seedLost(store))
	case "dead":
		end(run(args[1], args[2]), stem.Dead, stem.ReasonPermanent, stem.Status{
			State: stem.Failed, Error: &stem.TaskError{Class: stem.ClassError, Type: "BrokenPicture", Message: "not a whole PNG: unexpected EOF", Permanent: true},
		})
	case "done":
		end(run(args[1], "media"), stem.Done, "", stem.Status{State: stem.Succeeded, Result: []byte(args[2])})
	case "running":
		run(args[1], "media")
	default:
		ts.Fatalf("seed %s: unknown", args[0])
	}
}

func openSeed(ts *testscript.TestScript) stem.Store {
	store, err := sqlite.Open(context.Background(), ts.Getenv("STORE"))
	ts.Check(err)
	return store
}

func seedDaemon(ts *testscript.TestScript, store stem.Store) error {
	type resizeArgs struct {
		Path  string `json:"path"`
		Width int    `json:"width"`
	}
	start, err := proc.StartTime(os.Getpid())
	if err != nil {
		return err
	}
	resize := stem.NewTask[resizeArgs, int]("media.resize", stem.Describe("make a thumbnail"), stem.Tags("images"), stem.Idempotent(), stem.MaxRetries(3))
	spec := resize.Spec()
	spec.Queue, spec.ArgsSchema = "media", json.RawMessage(`{"type":"object","properties":{"path":{"type":"string"},"width":{"type":"integer"}},"required":["path","width"],"additionalProperties":false}`)
	now := time.Now()
	docs := map[stem.RecordRef]any{
		{Kind: stem.KindHeartbeat, ID: "host-a"}: stem.Heartbeat{
			WorkerID: "host-a", Namespace: "stem", Timestamp: now, Version: "0.1.0", LastClaim: now, Interval: 10 * time.Second, StartTime: start,
			Queues: []stem.HeartbeatQueue{{Name: "media", Pool: "media"}, {Name: "reports", Pool: "reports"}},
			Pools: []stem.HeartbeatPool{
				{Name: "media", Plugin: "media", Version: "1.4.0", Up: 2, Size: 2, State: "ok", Pids: []int{41, 42}},
				{Name: "reports", Plugin: "reports", Up: 0, Size: 2, State: "quarantined: exits at start (12 times)"},
			},
			Extras: stem.HeartbeatExtras{Host: "host-a", Pid: os.Getpid(), StartedAt: now},
		},
		{Kind: stem.KindManifest, ID: "host-a/media"}: stem.PluginManifest{
			Node: "host-a", Plugin: "media", Version: "1.4.0", Protocol: 1, Queues: []string{"media"}, Tasks: []stem.TaskSpec{spec},
		},
	}
	for ref, doc := range docs {
		body, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		record := stem.Record{RecordRef: ref, Body: body, Expires: now.Add(time.Hour)}
		if _, err := store.Records.Save(context.Background(), stem.RecordWrite{Record: record}); err != nil {
			return err
		}
	}
	return nil
}

// seedLost is the heartbeat of a daemon of this host whose process has ended.
func seedLost(store stem.Store) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		return err
	}
	now := time.Now()
	body, err := json.Marshal(stem.Heartbeat{
		WorkerID: "host-b", Timestamp: now, Interval: 10 * time.Second, LastClaim: now,
		Extras: stem.HeartbeatExtras{Host: host, Pid: ended.Process.Pid, StartedAt: now},
	})
	if err != nil {
		return err
	}
	record := stem.Record{RecordRef: stem.RecordRef{Kind: stem.KindHeartbeat, ID: "host-b"}, Body: body, Expires: now.Add(time.Hour)}
	_, err = store.Records.Save(context.Background(), stem.RecordWrite{Record: record})
	return err
}

func TestCountsAndAgesReadWell(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%s) is %s, want %s", strconv.Itoa(n), got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		5 * time.Millisecond: "5 ms", 1500 * time.Millisecond: "1.5 s", 130 * time.Second: "2m 10s", 25 * time.Hour: "25h 00m", 72 * time.Hour: "3 days", -1: "0 s",
	} {
		if got := ago(d); got != want {
			t.Errorf("ago(%s) is %q, want %q", d, got, want)
		}
	}
}
