package adaptertest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The lines of docs/adapters.md are run as they stand there, in a module of their own, on an adapter that is the memory store.
func TestTheLinesOfTheGuideRunTheContract(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	lines := regexp.MustCompile("(?s)```go\n(package mystore_test.*?)```").FindStringSubmatch(read("docs/adapters.md"))
	if lines == nil {
		t.Fatal("the guide shows no test")
	}
	mod := strings.Replace(read("go.mod"), "module github.com/stemd/stem", "module mystore", 1) +
		"\nrequire github.com/stemd/stem v0.0.0\n\nreplace github.com/stemd/stem => " + root + "\n"
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": mod, "go.sum": read("go.sum"),
		// All that memory has would have to be declared; an adapter has what its author declares.
		"mystore.go": `package mystore

import (
	"context"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
)

type broker struct {
	stem.Broker
	stem.Inspector
	stem.Maintainer
}

func Open(ctx context.Context, _ string, opts ...stem.StoreOption) (stem.Store, error) {
	store, err := memory.Open(ctx, "memory://", opts...)
	store.Broker = broker{store.Broker, store.Broker.(stem.Inspector), store.Broker.(stem.Maintainer)}
	store.Bus = nil
	return store, err
}
`,
		"mystore_test.go": lines[1],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Without a clock to move, cases wait: these groups need not.
	cmd := exec.Command("go", "test", "-mod=mod", "-v", "-run", "TestContract/(publish|order|settle|save|store)", "./...")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestContract/settle") {
		t.Errorf("%v\n%.3000s", err, out)
	}
}
