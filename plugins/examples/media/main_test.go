package main

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin/sdk/stemtest"
	"github.com/stemd/stem/plugins/examples/media/jobs"
)

func testdata(t *testing.T, name string) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "src", "image", name)
}

func TestPicturesOfEachFormatBecomeThumbnailsOfTheWidthAskedFor(t *testing.T) {
	for _, name := range []string{"video-001.png", "video-001.jpeg", "video-001.gif"} {
		out := filepath.Join(t.TempDir(), "thumb.png")
		got, err := stemtest.Run(t, jobs.Resize, resize, jobs.ResizeArgs{Path: testdata(t, "testdata/"+name), Width: 50, Out: out})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f, err := os.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		config, format, err := image.DecodeConfig(f)
		st, statErr := f.Stat()
		if err = errors.Join(err, statErr, f.Close()); err != nil {
			t.Fatal(err)
		}
		if format != "png" || config.Width != 50 || config.Height != got.Height || got.Path != out || got.Bytes != st.Size() {
			t.Errorf("%s: %s %+v, result %+v", name, format, config, got)
		}
	}
}

func TestWhatIsWrongWithAPictureIsSaidAndNotRetried(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		testdata(t, "png/testdata/invalid-trunc.png"): "not a whole PNG: unexpected EOF",
		testdata(t, "png/testdata/invalid-crc32.png"): "not a whole PNG: png: invalid format: invalid checksum",
		text:                         "not a PNG, JPEG or GIF",
		filepath.Join(dir, "nobody"): "there is no file",
		bomb(t, dir):                 "the limit is",
	} {
		_, err := stemtest.Run(t, jobs.Resize, resize, jobs.ResizeArgs{Path: path, Width: 50, Out: filepath.Join(dir, "out.png")})
		var e *stem.TaskError
		if !errors.As(err, &e) || !e.Permanent || !strings.Contains(e.Message, want) {
			t.Errorf("%s: got %+v, want %s", path, e, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.png"))
	if err != nil || len(left) != 1 { // the bomb
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := stemtest.Run(t, jobs.Resize, resize, jobs.ResizeArgs{Path: text, Width: 0}); err == nil || !strings.Contains(err.Error(), "width is 0") {
		t.Errorf("a width of 0: %v", err)
	}
}

// bomb is a PNG of a few bytes that claims to have 60,000 × 60,000 pixels.
func bomb(t *testing.T, dir string) string {
	t.Helper()
	header := []byte{'I', 'H', 'D', 'R', 0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60, 8, 6, 0, 0, 0}
	file := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), header...)
	file = binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(header))
	path := filepath.Join(dir, "bomb.png")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
