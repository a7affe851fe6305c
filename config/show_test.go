package config_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stemd/stem/config"
)

// show loads a configuration and prints it both ways.
func show(t *testing.T, vars map[string]string, files ...txtar.File) string {
	t.Helper()
	cfg, err := config.Load(func(name string) string { return vars[name] }, write(t, &txtar.Archive{Files: files}))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := cfg.Show(&b); err != nil {
		t.Fatal(err)
	}
	doc, err := cfg.Document()
	if err != nil || !json.Valid(doc) {
		t.Fatalf("document %s, %v", doc, err)
	}
	return b.String() + string(doc)
}

func TestSecretsAreNeverShown(t *testing.T) {
	files := []txtar.File{
		{Name: "a.hcl", Data: []byte(`
broker { url = "memory://me:hunter2@host/0" }
results { url = env("RESULTS") }
plugin "m" {
  command = ["/m", file("token"), "--api-token=letmein"]
  config {
    password = env("SECRET")
    smtp_password = "qwertz"
    url = "https://me:dragon@host/?token=monkey"
    smtp {
      secret = "iloveyou"
    }
  }
  pool "heavy" {
    queues = { heavy = 1 }
  }
}
`)},
		{Name: "token", Data: []byte("swordfish\n")},
	}
	vars := map[string]string{"RESULTS": "memory://me:opensesame@host/1", "SECRET": "xyzzy"}
	shown := show(t, vars, files...)
	for _, secret := range []string{"hunter2", "opensesame", "swordfish", "xyzzy", "letmein", "qwertz", "dragon", "monkey", "iloveyou"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%q is shown:\n%s", secret, shown)
		}
	}
	for _, want := range []string{`env("RESULTS")`, `file("token")`, `plugin "m" {`, `pool "heavy" {`, `"queues":{"heavy":1}`} {
		if !strings.Contains(shown, want) {
			t.Errorf("%s is missing:\n%s", want, shown)
		}
	}
}

func TestComplaintsQuoteTheSourceWithoutItsSecrets(t *testing.T) {
	vars := map[string]string{"TTL": "hunter2"}
	for _, source := range []string{
		`broker { ulr = "redis://me:hunter2@host/0" }`,
		`broker { url = "redis://me:hunter2@host/0" `,
		`plugin "m" { pasword_token = "hunter2" }`,
		`plugin "m" { password = "hunter2`,
		`results { ttl = env("TTL") }`,
		`node = "${env("TTL")}\n"`,
		`broker { url = "redis://host/0?password=hunter2" junk = 1 }`,
	} {
		_, err := config.Load(func(name string) string { return vars[name] }, write(t, &txtar.Archive{Files: []txtar.File{{Name: "a.hcl", Data: []byte(source + "\n")}}}))
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "a.hcl:1") {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestWhatIsShownIsAConfigurationThatSaysTheSame(t *testing.T) {
	cfg, err := config.Load(noEnv, "../stem.hcl.example")
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := cfg.Show(&first); err != nil {
		t.Fatal(err)
	}
	again, err := config.Load(noEnv, write(t, &txtar.Archive{Files: []txtar.File{{Name: "stem.hcl", Data: first.Bytes()}}}))
	if err != nil {
		t.Fatalf("%v\n%s", err, first.String())
	}
	if err := again.Show(&second); err != nil || first.String() != second.String() {
		t.Errorf("%v; first\n%s\nthen\n%s", err, first.String(), second.String())
	}
	if len(again.Pools) != len(cfg.Pools) || *again.Pools[0].Policy.MaxRetries != *cfg.Pools[0].Policy.MaxRetries {
		t.Errorf("pools %+v, want %+v", again.Pools, cfg.Pools)
	}
}

func TestWhatTheEnvironmentSaysIsShownAsSuch(t *testing.T) {
	shown := show(t, map[string]string{"STEM_BROKER_URL": "memory://me:hunter2@x", "STEM_WORKER_NODE": "n7"},
		txtar.File{Name: "a.hcl", Data: []byte("plugin \"m\" {\n  command = [\"/m\"]\n}\n")})
	if !strings.Contains(shown, `url = env("STEM_BROKER_URL")`) || !strings.Contains(shown, `node = env("STEM_WORKER_NODE")`) || strings.Contains(shown, "hunter2") {
		t.Errorf("shown:\n%s", shown)
	}
}
