package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
)

func (p *program) taskBundleCommand() *cobra.Command {
	var path string
	var withArgs bool
	cmd := &cobra.Command{
		Use: "bundle ID", Short: "Put everything that is kept of a task into a .tar.gz", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withStore(cmd.Context(), false, func(store stem.Store) error {
				f, err := p.taskFile(cmd.Context(), store, args[0])
				if err != nil {
					return err
				}
				if path == "" {
					path = "stem-" + f.status.ID + ".tar.gz"
				}
				files, err := bundleFiles(f, withArgs)
				if err != nil {
					return err
				}
				if err := writeBundle(path, files, f.status.ID); err != nil {
					return err
				}
				if p.json {
					return p.document(map[string]any{"id": f.status.ID, "path": path, "files": len(files), "attempts": len(f.attempts)})
				}
				p.printf("%s   %d files, %d attempts\n", path, len(files), len(f.attempts))
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&path, "output", "o", "", "file to write, which must not exist (default: stem-ID.tar.gz here)")
	cmd.Flags().BoolVar(&withArgs, "with-args", false, "also the arguments of the task, which may be secret")
	return cmd
}

// bundleFile is one file of a bundle.
type bundleFile struct {
	name string
	body []byte
}

// bundleFiles are the files of a bundle, the manifest apart.
func bundleFiles(f taskFile, withArgs bool) (files []bundleFile, err error) {
	add := func(name string, doc any) {
		b, failed := jsonText(doc)
		err = errors.Join(err, failed)
		files = append(files, bundleFile{name, b})
	}
	text := func(name, body string) {
		if body != "" {
			files = append(files, bundleFile{name, []byte(body)})
		}
	}
	add("status.json", statusDocument(f.status))
	if f.dead != nil {
		dead := deadDocumentOf(*f.dead)
		if !withArgs {
			dead.Args = nil
		}
		add("dead-letter.json", dead)
		if h, failed := stem.DecodeHeader(f.dead.Message.Envelope.Header); failed == nil {
			if !withArgs { // they carry those of other tasks
				h.Options.Link, h.Options.LinkError = nil, nil
			}
			add("header.json", h)
		}
	}
	for i, e := range f.attempts {
		base := fmt.Sprintf("attempts/%02d", i+1)
		add(base+".json", e)
		if e.Output != nil {
			text(base+".stderr.txt", e.Output.Stderr)
			text(base+".stack.txt", e.Output.Stack)
		}
	}
	return files, err
}

// writeBundle writes a new file that only its owner can read; what is there already is left alone.
func writeBundle(path string, files []bundleFile, id string) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usageError("%s exists and is not overwritten: choose another file with -o", path)
	} else if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(fmt.Errorf("write the bundle: %w", err), os.Remove(path))
		}
	}()
	type listed struct {
		Name   string `json:"name"`
		Size   int    `json:"size"`
		SHA256 string `json:"sha256"`
	}
	manifest := struct {
		ID      string    `json:"id"`
		Stem    string    `json:"stem"`
		Created time.Time `json:"created"`
		Files   []listed  `json:"files"`
	}{ID: id, Stem: version, Created: time.Now().UTC()}
	for _, f := range files {
		sum := sha256.Sum256(f.body)
		manifest.Files = append(manifest.Files, listed{f.name, len(f.body), hex.EncodeToString(sum[:])})
	}
	body, err := jsonText(manifest)
	if err != nil {
		return err
	}
	return archive(out, append([]bundleFile{{"manifest.json", body}}, files...), manifest.Created)
}

func archive(w io.Writer, files []bundleFile, at time.Time) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, f := range files {
		err := t.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.body)), ModTime: at})
		if err == nil {
			_, err = t.Write(f.body)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}
