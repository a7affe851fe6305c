// Command archive is a handler plugin that hashes and compresses files.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/stemd/stem/plugin/sdk"
	"github.com/stemd/stem/plugins/examples/archive/jobs"
)

func main() { sdk.Serve(newPlugin()) }

func newPlugin() *sdk.Plugin {
	p := sdk.New("archive", "1.0.0")
	sdk.Handle(p, jobs.File, archive)
	return p
}

// archive streams: a file of any size takes the same memory.
func archive(ctx context.Context, a jobs.FileArgs) (_ jobs.Totals, err error) {
	in, err := os.Open(a.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return jobs.Totals{}, sdk.Permanent(fmt.Errorf("there is no file %s", a.Path))
	} else if err != nil {
		return jobs.Totals{}, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return jobs.Totals{}, err
	}
	if !info.Mode().IsRegular() {
		return jobs.Totals{}, sdk.Permanent(fmt.Errorf("%s is not a regular file", a.Path))
	}

	out, commit, err := create(a.Out)
	if err != nil {
		return jobs.Totals{}, err
	}
	defer func() { err = errors.Join(err, commit(err == nil)) }()
	counted := &counter{w: out}
	compressor, err := zstd.NewWriter(counted, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return jobs.Totals{}, err
	}
	hash := sha256.New()
	progress := &reporter{ctx: ctx, size: info.Size()}
	size, err := io.Copy(io.MultiWriter(compressor, hash, progress), in)
	if err = errors.Join(err, compressor.Close()); err != nil {
		return jobs.Totals{}, err
	}
	return jobs.Totals{Path: a.Path, Size: size, Compressed: counted.n, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// create opens the output, a temporary file that commit puts in place; without a path everything is discarded.
func create(path string) (io.Writer, func(ok bool) error, error) {
	if path == "" {
		return io.Discard, func(bool) error { return nil }, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".archive-*")
	if err != nil {
		return nil, nil, err
	}
	return f, func(ok bool) error {
		err := f.Close()
		if ok && err == nil {
			return os.Rename(f.Name(), path)
		}
		return errors.Join(err, os.Remove(f.Name()))
	}, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// reporter reports progress every few megabytes and stops the copy when the task is cancelled.
type reporter struct {
	ctx                  context.Context
	size, done, reported int64
}

const reportEvery = 4 << 20 // bytes

func (r *reporter) Write(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	if r.done += int64(len(b)); r.done-r.reported >= reportEvery && r.size > 0 {
		r.reported = r.done
		sdk.Task(r.ctx).Progress(float64(r.done)/float64(r.size)*100, nil)
	}
	return len(b), nil
}
