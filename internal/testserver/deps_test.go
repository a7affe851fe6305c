package testserver_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is an ordinary user without rights.
const nobody = 65534

// TestWhatMakeTestSaysWhereItCanNotInstall runs the script behind `make test` where nothing is to be installed: with a PATH of only the
// programs of each case.
func TestWhatMakeTestSaysWhereItCanNotInstall(t *testing.T) {
	script, err := filepath.Abs("../../tools/deps.sh")
	must(t, err)
	server := func(version string) string {
		return fmt.Sprintf("#!/bin/sh\necho Redis server v=%s sha=0 malloc=jemalloc-5.3.0 bits=64\n", version)
	}
	const fails = "#!/bin/sh\nexit 1\n"
	for name, c := range map[string]struct {
		programs map[string]string
		root     bool
		says     string // empty: it is content
	}{
		"a server that is there":      {map[string]string{"redis-server": server("7.0.15")}, false, ""},
		"a newer one":                 {map[string]string{"redis-server": server("10.2.0")}, false, ""},
		"an old one":                  {map[string]string{"redis-server": server("6.2.14")}, true, "redis-server is 6.2.14; put a newer one first in PATH"},
		"one that says nothing":       {map[string]string{"redis-server": fails}, true, "of an unknown version"},
		"no packages":                 {map[string]string{}, true, "install it and try again"},
		"an ordinary user":            {map[string]string{"apt-get": fails}, false, "let root run apt-get install redis-server"},
		"a user without rights":       {map[string]string{"apt-get": fails, "sudo": fails}, false, "apt-get install redis-server failed; let root do it"},
		"a package that is not found": {map[string]string{"apt-get": fails}, true, "apt-get install redis-server failed"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.root && os.Getuid() != 0 {
				c.programs["id"] = "#!/bin/sh\necho 0\n"
			}
			bin, err := os.MkdirTemp("/tmp", "stem-path") // where everybody may look
			must(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(bin) })
			must(t, os.Chmod(bin, 0o755))
			for _, tool := range []string{"sh", "sed", "id", "env"} {
				path, err := exec.LookPath(tool)
				must(t, err)
				if c.programs[tool] == "" {
					must(t, os.Symlink(path, filepath.Join(bin, tool)))
				}
			}
			for program, text := range c.programs {
				must(t, os.WriteFile(filepath.Join(bin, program), []byte(text), 0o755))
			}
			text, err := os.ReadFile(script)
			must(t, err)
			cmd := exec.Command("/bin/sh", "-c", string(text))
			cmd.Dir, cmd.Env = "/", []string{"PATH=" + bin}
			if os.Getuid() == 0 && !c.root {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			}
			out, err := cmd.CombinedOutput()
			if (err == nil) != (c.says == "") || !strings.Contains(string(out), c.says) || c.says == "" && len(out) > 0 {
				t.Errorf("%v, it says %q, want %q", err, out, c.says)
			}
		})
	}
}
