package host

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestWhatIsStartedIsWhatWasComparedWithThePin(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "media")
	install := func(from, to string) string {
		t.Helper()
		path, err := exec.LookPath(from)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(to, b, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", sha256.Sum256(b))
	}
	sum := install("true", program)
	p := &Pool{cfg: Config{Name: "media", Command: []string{program}, SHA256: sum}}
	f, err := p.verify()
	if err != nil || f == nil {
		t.Fatalf("got %v, %v", f, err)
	}
	defer f.Close()
	install("false", program+".new")
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: &exec.Cmd{}, verified: f}
	if err := c.prepare(t.Context(), p.cfg, dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Run(); err != nil {
		t.Errorf("the program that took its place was run: %v", err)
	}
	if _, err := p.verify(); err == nil {
		t.Error("the next start should be refused")
	}

	script := filepath.Join(dir, "script")
	content := []byte("#!/bin/sh\nexit 0\n")
	if err := os.WriteFile(script, content, 0o700); err != nil {
		t.Fatal(err)
	}
	p.cfg.Command, p.cfg.SHA256 = []string{script}, fmt.Sprintf("%x", sha256.Sum256(content))
	if f, err := p.verify(); f != nil || err != nil {
		t.Errorf("a script is compared and started by its path, got %v, %v", f, err)
	}
}
