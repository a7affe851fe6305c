package all_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stemd/stem/adapters/all"
)

func TestTheSchemeOfTheURLPicksTheStore(t *testing.T) {
	for scheme, url := range map[string]string{
		"memory": "memory://",
		"sqlite": "sqlite://" + filepath.Join(t.TempDir(), "stem.db"),
	} {
		store, err := all.Open(t.Context(), url)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if store.Info.Kind != scheme {
			t.Errorf("%s opened a store of kind %q", url, store.Info.Kind)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnUnknownSchemeNamesTheKnownOnesAndNoPassword(t *testing.T) {
	for _, url := range []string{"nats://me:hunter2@host/x"} {
		_, err := all.Open(t.Context(), url)
		if err == nil {
			t.Fatalf("%s: want an error", url)
		}
		if msg := err.Error(); !strings.Contains(msg, "sqlite") || strings.Contains(msg, "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAURLIsShownWithoutItsPasswords(t *testing.T) {
	for _, url := range []string{
		"redis://me:hunter2@host/0", "rediss://me:hunter2@h1:1,h2:2/?cluster=true", "redis://host/0?master=m&sentinel_password=hunter2",
		"redis://me:hunter2@ho st/%zz",
	} {
		if shown := all.Redact(url); strings.Contains(shown, "hunter2") {
			t.Errorf("%s is shown as %s", url, shown)
		}
	}
	if shown := all.Redact("redis://me:hunter2@h1:1,h2:2/?cluster=true"); !strings.Contains(shown, "me:") || !strings.Contains(shown, "h1:1,h2:2") {
		t.Errorf("more than the password is hidden: %s", shown)
	}
}
