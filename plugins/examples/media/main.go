// Command media is a handler plugin that makes thumbnails.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // formats that image.Decode knows
	_ "image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stemd/stem/plugin/sdk"
	"github.com/stemd/stem/plugins/examples/media/jobs"
	"golang.org/x/image/draw"
)

const (
	maxPixels = 100 << 20 // of a picture; a small file can claim to be a huge one
	maxWidth  = 10_000
)

func main() { sdk.Serve(newPlugin()) }

func newPlugin() *sdk.Plugin {
	p := sdk.New("media", "1.0.0")
	sdk.Handle(p, jobs.Resize, resize)
	return p
}

func resize(ctx context.Context, a jobs.ResizeArgs) (jobs.Image, error) {
	task := sdk.Task(ctx)
	if a.Width < 1 || a.Width > maxWidth {
		return jobs.Image{}, sdk.Permanent(fmt.Errorf("width is %d, want 1 to %d", a.Width, maxWidth))
	}
	src, err := read(a.Path)
	if err != nil {
		return jobs.Image{}, err
	}
	task.Progress(50, map[string]string{"step": "decoded"})
	if err := ctx.Err(); err != nil {
		return jobs.Image{}, err
	}
	b := src.Bounds()
	thumb := image.NewNRGBA(image.Rect(0, 0, a.Width, max(1, b.Dy()*a.Width/b.Dx())))
	draw.CatmullRom.Scale(thumb, thumb.Bounds(), src, b, draw.Src, nil)
	task.Progress(90, map[string]string{"step": "scaled"})
	if a.Out == "" {
		ext := filepath.Ext(a.Path)
		a.Out = fmt.Sprintf("%s_%d.png", strings.TrimSuffix(a.Path, ext), a.Width)
	}
	size, err := write(a.Out, thumb)
	return jobs.Image{Path: a.Out, Width: a.Width, Height: thumb.Bounds().Dy(), Bytes: size}, err
}

// read decodes a picture. What is wrong with the picture itself stays wrong: no retry will mend it.
func read(path string) (image.Image, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sdk.Permanent(fmt.Errorf("there is no file %s", path))
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	name := filepath.Base(path)
	config, format, err := image.DecodeConfig(bufio.NewReader(f))
	switch {
	case errors.Is(err, image.ErrFormat):
		return nil, sdk.Permanent(fmt.Errorf("%s: not a PNG, JPEG or GIF", name))
	case err != nil:
		return nil, sdk.Permanent(fmt.Errorf("%s: not a whole %s: %w", name, strings.ToUpper(format), err))
	case config.Width*config.Height > maxPixels || config.Width < 1 || config.Height < 1:
		return nil, sdk.Permanent(fmt.Errorf("%s: %d × %d pixels, the limit is %d in all", name, config.Width, config.Height, maxPixels))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, format, err := image.Decode(bufio.NewReader(f))
	if err != nil {
		return nil, sdk.Permanent(sdk.Typed("BrokenPicture", fmt.Errorf("%s: not a whole %s: %w", name, strings.ToUpper(format), err)))
	}
	return img, nil
}

// write puts the file in place whole or not at all, so a killed attempt leaves no half thumbnail.
func write(path string, img image.Image) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".thumb-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	if err = png.Encode(f, img); err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil {
			size = info.Size()
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return size, os.Rename(f.Name(), path)
}
