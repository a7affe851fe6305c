package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stemd/stem"
	"github.com/stemd/stem/config"
)

var update = flag.Bool("update", false, "write the complaints into testdata/bad; read them before committing")

func noEnv(string) string { return "" }

// write puts the files of an archive into a directory and returns it.
func write(t *testing.T, a *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range a.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Each archive in testdata/bad is a directory of configuration and, as its comment, the complaint it must get, with the
// directory's name left out.
func TestAWrongConfigurationIsRefusedWithFileAndLine(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := write(t, a)
			_, err = config.Load(noEnv, dir)
			if err == nil {
				t.Fatal("it was accepted")
			}
			got := strings.ReplaceAll(err.Error(), dir+"/", "")
			if *update {
				a.Comment = []byte(got + "\n")
				if err := os.WriteFile(file, txtar.Format(a), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if want := strings.TrimSpace(string(a.Comment)); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if !regexp.MustCompile(`(?m)^[a-z]+\.hcl(:\d+|:)`).MatchString(got) {
				t.Errorf("it names no place:\n%s", got)
			}
		})
	}
}

func TestTheExampleLoadsAndSaysWhatItSays(t *testing.T) {
	cfg, err := config.Load(noEnv, "../stem.hcl.example")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Node != "host-a" || cfg.Broker.URL != "sqlite:///var/lib/stem/stem.db" || cfg.DeadLetters != 7*24*time.Hour || cfg.Events != 24*time.Hour ||
		cfg.ResultTTL != 24*time.Hour || cfg.Worker.MaxResult != 1<<20 {
		t.Errorf("config %+v", cfg)
	}
	if len(cfg.Pools) != 2 || cfg.Pools[0].Host.Name != "media" || cfg.Pools[1].Host.Name != "media/heavy" {
		t.Fatalf("pools %+v", cfg.Pools)
	}
	media, heavy := cfg.Pools[0], cfg.Pools[1]
	if media.Queues["media"] != 3 || media.Host.Processes.Max != 4 || media.Policy.Hard != 45*time.Second || *media.Policy.MaxRetries != 3 ||
		*media.Policy.On[stem.ClassCrash].Max != 2 || *media.Policy.On[stem.ClassCrash].Delay != 10*time.Second || *media.Policy.On[stem.ClassOOM].Max != 1 || *media.Policy.Crashes != 3 ||
		media.Policy.Heartbeat != time.Minute || media.Policy.Tasks["media.resize"].Heartbeat != 5*time.Second || *media.Policy.Tasks["media.resize"].On[stem.ClassTimeout].Max != 0 ||
		string(media.Host.Config) != `{"quality":85}` || media.Policy.Tasks["media.resize"].Hard != 20*time.Second ||
		media.Policy.Retry.DontAutoRetryFor[0] != "ValidationError" || *media.Policy.Tasks["media.resize"].MaxRetries != 1 {
		t.Errorf("media %+v", media)
	}
	if p, l, r := media.Host.Processes, media.Host.Limits, media.Host.Recycle; p.Min != 1 || p.Spare != 1 || p.IdleTTL != 5*time.Minute ||
		l.Memory != 256<<20 || l.CPU != 1 || l.Pids != 64 || l.Files != 1024 || l.Nice != 5 || r.Tasks != 10000 || r.Age != 6*time.Hour || r.Memory != 200<<20 {
		t.Errorf("media %+v %+v %+v", p, l, r)
	}
	if s := cfg.Worker.Scale; s.Up != 1 || s.Down != 1 || s.Backlog != 1 || s.UpCooldown != 5*time.Second || cfg.Worker.ScaleTick != 2*time.Second {
		t.Errorf("autoscale %+v", cfg.Worker)
	}
	if heavy.Queues["videos"] != 1 || heavy.Host.Processes.Max != 1 || heavy.Policy.Hard != 45*time.Second || heavy.Host.Command[0] != media.Host.Command[0] {
		t.Errorf("heavy %+v", heavy)
	}
}

func TestTheConfigurationsInTheDocumentationLoad(t *testing.T) {
	block := regexp.MustCompile("(?s)```hcl\n(.*?)```")
	for _, doc := range []string{"../README.md", "../docs/configuration.md"} {
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		found := block.FindAllSubmatch(b, -1)
		if len(found) == 0 {
			t.Errorf("%s shows no configuration", doc)
		}
		for _, m := range found {
			dir := write(t, &txtar.Archive{Files: []txtar.File{{Name: "stem.hcl", Data: m[1]}}})
			if _, err := config.Load(noEnv, dir); err != nil {
				t.Errorf("%s: %v", doc, err)
			}
		}
	}
}

func TestTheEnvironmentStandsInForWhatTheFileLeavesOut(t *testing.T) {
	dir := write(t, &txtar.Archive{Files: []txtar.File{{Name: "a.hcl", Data: []byte("plugin \"m\" {\n  command = [\"/m\"]\n}\nnode = \"mine\"\n")}}})
	vars := map[string]string{"STEM_BROKER_URL": "memory://", "STEM_WORKER_NODE": "theirs", "STEM_NAMESPACE": "blue"}
	cfg, err := config.Load(func(name string) string { return vars[name] }, dir)
	if err != nil || cfg.Broker.URL != "memory://" || cfg.Node != "mine" || cfg.Namespace != "blue" {
		t.Errorf("got %+v, %v", cfg, err)
	}
}

func TestAStoreOfAnUnknownKindIsAMistakeOfTheConfiguration(t *testing.T) {
	dir := write(t, &txtar.Archive{Files: []txtar.File{{Name: "a.hcl", Data: []byte(
		"broker { url = \"nats://me:hunter2@host\" }\nresults { url = \"stem.db\" }\nplugin \"m\" {\n  command = [\"/m\"]\n}\n")}}})
	_, err := config.Load(noEnv, dir)
	for _, want := range []string{`a.hcl:1,16-40: url in broker: store URL "nats://me:xxxxx@host": unknown scheme "nats"`, `a.hcl:2,17-26: url in results: store URL "stem.db" has no scheme`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	dir = write(t, &txtar.Archive{Files: []txtar.File{{Name: "a.hcl", Data: []byte(
		"broker { url = \"redis://host?clutser=true\" }\nplugin \"m\" {\n  command = [\"/m\"]\n}\n")}}})
	if _, err := config.Load(noEnv, dir); err == nil || !strings.Contains(err.Error(), `a.hcl:1,16-43: url in broker: store URL "redis://host?clutser=true": unknown parameter "clutser"`) {
		t.Errorf("a parameter that Redis does not have: %v", err)
	}
	dir = write(t, &txtar.Archive{Files: []txtar.File{{Name: "a.hcl", Data: []byte("plugin \"m\" {\n  command = [\"/m\"]\n}\n")}}})
	if _, err := config.Load(func(string) string { return "nats://me:hunter2@host" }, dir); err == nil || !strings.Contains(err.Error(), "STEM_BROKER_URL: store URL") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("from the environment: %v", err)
	}
}

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{"500ms": time.Second / 2, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "0s": 0} {
		if got, err := config.ParseDuration(s); got != want || err != nil {
			t.Errorf("%s: %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "5", "-1s", "d", "1w", "99999999999d"} {
		if _, err := config.ParseDuration(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}
