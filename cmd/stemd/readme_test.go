package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The README's handler and commands are run as they stand there.
func TestTheHandlerAndCommandsOfTheReadmeWork(t *testing.T) {
	r := newRig(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(readme)
	enqueue := regexp.MustCompile(`(?m)^stem (enqueue hello.say '(.*)' --wait)`).FindSubmatch(readme)
	if program == nil || enqueue == nil {
		t.Fatal("the README shows no handler, or no command that enqueues it")
	}
	source := filepath.Join(r.dir, "hello")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	// A module of its own, as a user has, with this checkout in place of a release.
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(string(mod), "module github.com/stemd/stem", "module hello", 1) +
		fmt.Sprintf("\nrequire github.com/stemd/stem v0.0.0\n\nreplace github.com/stemd/stem => %s\n", root)
	for name, content := range map[string][]byte{"main.go": program[1], "go.mod": []byte(own), "go.sum": sum} {
		if err := os.WriteFile(filepath.Join(source, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hello := filepath.Join(r.dir, "hello-plugin")
	build(t, source, hello, ".", "-mod=mod")
	cli := filepath.Join(r.dir, "cli")
	build(t, root, cli, "./cmd/stem")

	d := r.start("-dev", hello)
	d.says("ready in")
	cmd := exec.Command(cli, "enqueue", "hello.say", string(enqueue[2]), "--wait")
	cmd.Env = d.cmd.Env // the command line finds the store of -dev by itself
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "succeeded in") || !strings.Contains(string(out), `"hello, Ada"`) {
		t.Errorf("stem %s: %v\n%s", enqueue[1], err, out)
	}
	lines := strings.Count(strings.TrimSpace(string(program[1])), "\n") + 1
	if lines > 26 {
		t.Errorf("the handler in 20 lines has %d", lines)
	}
}
