package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stemd/stem"
	"github.com/stemd/stem/config"
	"github.com/stemd/stem/internal/testserver"
)

// certified is a directory with certificates and a configuration whose tls block holds these lines.
func certified(t *testing.T, lines string) string {
	t.Helper()
	dir := write(t, &txtar.Archive{Files: []txtar.File{{Name: "stem.hcl", Data: []byte(
		"broker {\n  url = \"memory://\"\n}\nplugin \"m\" {\n  command = [\"/m\"]\n}\ntls {\n" + lines + "\n}\n")}}})
	if _, err := testserver.NewCertificates(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTheTLSBlockNamesFilesBesideTheConfiguration(t *testing.T) {
	dir := certified(t, "  ca   = \"ca.pem\"\n  cert = \"client.pem\"\n  key  = \"client.key\"")
	cfg, err := config.Load(noEnv, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := stem.TLS{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key")}
	if cfg.TLS != want {
		t.Errorf("got %+v, want %+v", cfg.TLS, want)
	}
	var shown bytes.Buffer
	if err := cfg.Show(&shown); err != nil || !strings.Contains(shown.String(), "ca = ") || strings.Contains(shown.String(), "PRIVATE KEY") {
		t.Errorf("shown as %s, %v", shown.String(), err)
	}
}

func TestTheEnvironmentFillsInTheTLSBlock(t *testing.T) {
	dir := certified(t, "  ca = \"ca.pem\"")
	vars := map[string]string{
		"STEM_TLS_CA_CERT":     filepath.Join(dir, "stranger.pem"),
		"STEM_TLS_CLIENT_CERT": filepath.Join(dir, "client.pem"), "STEM_TLS_CLIENT_KEY": filepath.Join(dir, "client.key"),
		"STEM_TLS_ALLOW_INSECURE": "1",
	}
	cfg, err := config.Load(func(name string) string { return vars[name] }, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := stem.TLS{CA: filepath.Join(dir, "ca.pem"), Cert: vars["STEM_TLS_CLIENT_CERT"], Key: vars["STEM_TLS_CLIENT_KEY"], Insecure: true}
	if cfg.TLS != want {
		t.Errorf("got %+v, want %+v", cfg.TLS, want)
	}
}

func TestWrongTLSFilesAreMistakesOfTheConfiguration(t *testing.T) {
	for _, c := range []struct{ lines, complaint string }{
		{`  ca = "nowhere.pem"`, "nowhere.pem: no such file"},
		{`  ca = "client.key"`, "client.key holds no certificate in PEM"},
		{`  cert = "client.pem"`, "needs both cert (STEM_TLS_CLIENT_CERT) and key (STEM_TLS_CLIENT_KEY)"},
		{"  cert = \"client.pem\"\n  key = \"server.key\"", "private key does not match public key"},
		{`  authority = "ca.pem"`, `unknown attribute "authority" in tls`},
	} {
		_, err := config.Load(noEnv, certified(t, c.lines))
		if err == nil || !strings.Contains(err.Error(), c.complaint) || !strings.Contains(err.Error(), "stem.hcl:") {
			t.Errorf("%s: got %v, want %s with file and line", c.lines, err, c.complaint)
		}
	}
}

func TestAnUnreadableFileOfTheEnvironmentIsNamedWithItsVariable(t *testing.T) {
	dir := certified(t, "")
	key := filepath.Join(dir, "ca.pem")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(func(name string) string { return map[string]string{"STEM_TLS_CA_CERT": key}[name] }, dir)
	if err == nil || !strings.Contains(err.Error(), "STEM_TLS_CA_CERT") || !strings.Contains(err.Error(), key) {
		t.Errorf("got %v", err)
	}
}
