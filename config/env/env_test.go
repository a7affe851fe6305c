package env_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stemd/stem/config/env"
)

func vars(t *testing.T, extra map[string]string) env.Lookup {
	t.Helper()
	runtime := filepath.Join(t.TempDir(), "run")
	if err := os.MkdirAll(runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	m := map[string]string{"HOME": t.TempDir(), "XDG_RUNTIME_DIR": runtime}
	for k, v := range extra {
		m[k] = v
	}
	return func(name string) string { return m[name] }
}

func TestADevDaemonIsFoundByWhoComesAfter(t *testing.T) {
	get := vars(t, nil)
	if _, _, err := env.ReadDev(get); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before: %v, want not exist", err)
	}
	if err := env.WriteDev(get, env.DevInfo{URL: "sqlite:///x/stem.db", Namespace: "stem", Node: "n", Dir: "/x"}); err != nil {
		t.Fatal(err)
	}
	info, running, err := env.ReadDev(get)
	if err != nil || !running || info.URL != "sqlite:///x/stem.db" || info.Pid != os.Getpid() {
		t.Errorf("got %+v, running %t, %v", info, running, err)
	}
	store, ok := env.FindStore(get, "")
	if !ok || store.URL != info.URL || store.Namespace != "stem" || !strings.Contains(store.Source, "stemd -dev") {
		t.Errorf("got %+v, %t", store, ok)
	}
}

func TestTheFlagWinsOverTheEnvironmentAndThatOverTheDevDaemon(t *testing.T) {
	get := vars(t, map[string]string{"STEM_BROKER_URL": "sqlite:///env.db", "STEM_NAMESPACE": "blue"})
	if err := env.WriteDev(get, env.DevInfo{URL: "sqlite:///dev.db"}); err != nil {
		t.Fatal(err)
	}
	if s, _ := env.FindStore(get, "sqlite:///flag.db"); s.URL != "sqlite:///flag.db" || s.Namespace != "blue" {
		t.Errorf("got %+v", s)
	}
	if s, _ := env.FindStore(get, ""); s.URL != "sqlite:///env.db" || s.Source != "STEM_BROKER_URL" {
		t.Errorf("got %+v", s)
	}
}

func TestWithoutAnyTraceThereIsNoStore(t *testing.T) {
	if s, ok := env.FindStore(vars(t, nil), ""); ok {
		t.Errorf("found %+v", s)
	}
}

func TestARuntimeDirectoryOpenToOthersIsNotTrusted(t *testing.T) {
	get := vars(t, nil)
	if err := env.WriteDev(get, env.DevInfo{URL: "sqlite:///x.db"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(env.RuntimeDir(get), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := env.ReadDev(get); err == nil || !strings.Contains(err.Error(), "0700") {
		t.Errorf("got %v, want a refusal", err)
	}
}
