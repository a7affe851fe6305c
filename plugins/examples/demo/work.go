package main

import (
	"context"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/stemd/stem"
	archive "github.com/stemd/stem/plugins/examples/archive/jobs"
	media "github.com/stemd/stem/plugins/examples/media/jobs"
)

// broken are the pictures of image/png's tests that no decoder can read; they must end as dead letters. (The fifth invalid one
// there only has a wrong palette and decodes.)
var broken = []string{"invalid-crc32.png", "invalid-noend.png", "invalid-trunc.png", "invalid-zlib.png"}

// work is what the demo enqueues.
type work struct {
	pictures, files []string
	thumbnails      string
}

// collect finds the pictures and the Go files of the toolchain's source tree.
func collect(thumbnails string) (*work, error) {
	root, err := goroot()
	if err != nil {
		return nil, err
	}
	src := filepath.Join(root, "src")
	w := &work{thumbnails: thumbnails}
	pictures, err := filepath.Glob(filepath.Join(src, "image", "testdata", "*"))
	if err != nil {
		return nil, err
	}
	w.pictures = pictures
	for _, name := range broken {
		w.pictures = append(w.pictures, filepath.Join(src, "image", "png", "testdata", name))
	}
	err = filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".go") {
			w.files = append(w.files, path)
		}
		return err
	})
	if err == nil && len(w.files) == 0 {
		err = fmt.Errorf("no Go files under %s: is GOROOT right?", src)
	}
	return w, err
}

// enqueue publishes everything, pictures first, and returns the ids.
func (w *work) enqueue(ctx context.Context, client *stem.Client) ([]string, error) {
	calls := make([]stem.Call, 0, len(w.pictures)+len(w.files))
	for _, path := range w.pictures {
		out := filepath.Join(w.thumbnails, filepath.Base(path)+".thumb.png")
		calls = append(calls, media.Resize.Call(media.ResizeArgs{Path: path, Width: 96, Out: out}))
	}
	for _, path := range w.files {
		calls = append(calls, archive.File.Call(archive.FileArgs{Path: path}))
	}
	results, err := client.EnqueueMany(ctx, calls...)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(results))
	for i, r := range results {
		if r.Err != nil {
			return nil, fmt.Errorf("enqueue %s: %w", calls[i].Name, r.Err)
		}
		ids = append(ids, r.ID)
	}
	return ids, nil
}

// goroot is the toolchain's directory. The demo is run by make, which has go on its path.
func goroot() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
