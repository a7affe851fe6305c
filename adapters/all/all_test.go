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
		"redis://me:hunter2@ho st/%zz", "redis://me:1/hunter2@host/0", "redis://me:1?hunter2@host/0", "redis://me:a@b/hunter2@host/0", "redis://me:1#hunter2@host/0",
	} {
		if shown := all.Redact(url); strings.Contains(shown, "hunter2") {
			t.Errorf("%s is shown as %s", url, shown)
		}
	}
	if shown := all.Redact("redis://me:hunter2@h1:1,h2:2/?cluster=true"); !strings.Contains(shown, "me:") || !strings.Contains(shown, "h1:1,h2:2") {
		t.Errorf("more than the password is hidden: %s", shown)
	}
}

func TestAURLThatNoStoreCanReadIsRefusedBeforeAnythingIsOpened(t *testing.T) {
	for url, want := range map[string]string{
		"redis://host?clutser=true":       `store URL "redis://host?clutser=true": unknown parameter "clutser"`,
		"redis://me:hunter/2@host/0":      "escape special characters of the password",
		"redis://me:hunter2@h1,h2":        "several hosts need cluster=true",
		"rediss://me:hunter2@host/0":      "",
		"redis+unix:///run/me@redis.sock": "",
		"sqlite:///var/lib/me@stem.db":    "",
	} {
		err := all.Check(url)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter")) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	if shown := all.Redact("sqlite:///var/lib/me@stem.db"); shown != "sqlite:///var/lib/me@stem.db" {
		t.Errorf("a path is hidden: %s", shown)
	}
}
