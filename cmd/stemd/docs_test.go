package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// Every stem command that the documentation shows is run as it stands there, beside a stemd -dev with the example plugins. ID stands
// for a task that is waiting where it is cancelled, and for one that is dead elsewhere.
func TestTheCommandsOfTheDocumentationWork(t *testing.T) {
	r := newRig(t)
	programs := filepath.Join(r.dir, "bin")
	media := filepath.Join(programs, "media")
	build(t, "../..", filepath.Join(programs, "stem"), "./cmd/stem")
	build(t, "../..", media, "./plugins/examples/media")
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 640, 480)), nil); err != nil {
		t.Fatal(err)
	}
	photo := filepath.Join(r.dir, "photo.jpg")
	for name, content := range map[string]string{
		photo:                                picture.String(),
		filepath.Join(r.dir, "args.json"):    `{"path":"photo.jpg","width":32}`,
		filepath.Join(r.dir, "files.ndjson"): `{"path":"` + photo + `"}` + "\n" + `{"path":"args.json"}` + "\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := r.startIn(r.dir, "-dev", "-data", r.dir, media, filepath.Join(bin, "archive"), filepath.Join(bin, "chaos"))
	d.says("ready in")
	dead := r.enqueue("chaos.fail", `{}`)
	if s := r.wait(dead); s.State != stem.Failed {
		t.Fatalf("got %+v", s)
	}
	waiting := r.enqueue("chaos.noop", `{}`, stem.Delay(time.Hour))

	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shell := regexp.MustCompile("(?s)```sh\n(.*?)```")
	ran := 0
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shell.FindAllSubmatch(b, -1) {
			for line := range strings.Lines(string(block[1])) {
				command, _, _ := strings.Cut(strings.TrimSpace(line), " #")
				if !strings.HasPrefix(command, "stem ") {
					continue
				}
				id := dead.ID()
				if strings.HasPrefix(command, "stem task cancel") {
					id = waiting.ID()
				}
				command = regexp.MustCompile(`\bID\b`).ReplaceAllString(command, id)
				ran++
				for _, form := range []string{command, command + " --json"} {
					if form != command && !regexp.MustCompile(`^stem (observe|health|plugin|tasks|task (list|status)|dlq (list|show))`).MatchString(command) {
						continue // doing it twice is another thing
					}
					cmd := exec.Command("sh", "-c", form)
					cmd.Dir, cmd.Env = r.dir, append(d.cmd.Env, "PATH="+programs+":"+os.Getenv("PATH"))
					out, err := cmd.CombinedOutput()
					if err != nil || form != command && !json.Valid(out) {
						t.Errorf("%s: %s: %v\n%s", filepath.Base(page), form, err, out)
					}
				}
			}
		}
	}
	if ran < 15 {
		t.Errorf("only %d commands were found", ran)
	}
}
