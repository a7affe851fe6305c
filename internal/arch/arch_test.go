package arch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/stemd/stem"

// floors, from the ground up. A package imports only from lower floors.
var floors = [][]string{
	0: {"plugin/proto/stem/task/v1", "internal/arch", "internal/collect", "internal/scale", "internal/proc", "internal/testserver"},
	1: {"plugin/proto/stem/plugin/v1", "plugin/register"},
	2: {"."},
	3: {"plugin", "adapters", "config/env", "workflow"},
	4: {"plugin/wire", "adapters/memory", "adapters/sqlite", "adapters/redis"},
	5: {"plugin/sdk", "plugin/host", "daemon/worker", "adapters/adaptertest", "adapters/all"},
	6: {"config"},
	7: {"daemon", "plugin/sdk/stemtest", "plugins/examples/archive/jobs", "plugins/examples/chaos/jobs", "plugins/examples/media/jobs"},
	8: {"plugins/examples/archive", "plugins/examples/chaos", "plugins/examples/media", "plugins/examples/demo", "cmd/stem", "cmd/stemd"},
}

// heavy must not be among the dependencies of what a producer links: the root and every adapter.
var heavy = []string{"google.golang.org/grpc", "github.com/hashicorp/hcl", "github.com/hashicorp/go-plugin", "go.opentelemetry.io/otel"}

const maxLines = 500

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestEveryPackageHasAFloorAndImportsOnlyDownwards(t *testing.T) {
	packages := list(t)
	for path, p := range packages {
		floor, ok := floorOf(path)
		if !ok {
			t.Errorf("%s has no floor: place it in internal/arch", path)
			continue
		}
		for _, imported := range p.Imports {
			if below, ours := floorOf(imported); ours && below >= floor {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports go down only", path, floor, imported, below)
			}
		}
	}
	for floor, paths := range floors {
		for _, path := range paths {
			if _, exists := packages[join(path)]; !exists {
				t.Errorf("floor %d names %s, which does not exist", floor, path)
			}
		}
	}
}

func TestProducersLinkNothingHeavy(t *testing.T) {
	for path, p := range list(t) {
		if path != module && !strings.HasPrefix(path, module+"/adapters") {
			continue
		}
		for _, dep := range p.Deps {
			for _, h := range heavy {
				if dep == h || strings.HasPrefix(dep, h+"/") {
					t.Errorf("%s depends on %s", path, dep)
				}
			}
		}
	}
}

func TestNoFileIsLongerThan500Lines(t *testing.T) {
	root := moduleRoot(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if n := bytes.Count(b, []byte("\n")); n > maxLines {
			rel, _ := filepath.Rel(root, path)
			t.Errorf("%s has %d lines, the limit is %d: it holds more than one idea", rel, n, maxLines)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = moduleRoot(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	packages := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

func floorOf(importPath string) (int, bool) {
	for floor, paths := range floors {
		for _, path := range paths {
			if join(path) == importPath {
				return floor, true
			}
		}
	}
	return 0, false
}

func join(path string) string {
	if path == "." {
		return module
	}
	return module + "/" + path
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}
