package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin/sdk/stemtest"
	"github.com/stemd/stem/plugins/examples/archive/jobs"
)

func TestTheArchiveHoldsTheFileAndTheTotalsAreTrue(t *testing.T) {
	dir := t.TempDir()
	content := bytes.Repeat([]byte("all work and no play "), 500_000) // over two progress reports
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out.zst")
	if err := os.WriteFile(in, content, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := stemtest.Run(t, jobs.File, archive, jobs.FileArgs{Path: in, Out: out})
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	unpacked, err := reader.DecodeAll(packed, nil)
	sum := sha256.Sum256(content)
	if err != nil || !bytes.Equal(unpacked, content) || got.SHA256 != hex.EncodeToString(sum[:]) ||
		got.Size != int64(len(content)) || got.Compressed != int64(len(packed)) {
		t.Errorf("%d bytes unpacked, %v; totals %+v", len(unpacked), err, got)
	}
	counted, err := stemtest.Run(t, jobs.File, archive, jobs.FileArgs{Path: in})
	if err != nil || counted != got {
		t.Errorf("without an output: %+v, %v", counted, err)
	}
}

func TestWhatCanNotBeArchivedIsSaidAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{filepath.Join(dir, "nobody"): "there is no file", dir: "is not a regular file"} {
		_, err := stemtest.Run(t, jobs.File, archive, jobs.FileArgs{Path: path, Out: filepath.Join(dir, "out")})
		var e *stem.TaskError
		if !errors.As(err, &e) || !e.Permanent || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %+v", path, e)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
