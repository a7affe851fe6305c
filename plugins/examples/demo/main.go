// Command demo shows Stem at work: it starts stemd -dev with the example plugins, enqueues thumbnails of the Go source tree's
// test pictures and an archive of every Go file in it, shows progress, and says what to look at next. It leaves no process
// behind. `make demo` builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
	"github.com/stemd/stem/config/env"
)

func main() {
	bin := flag.String("bin", "bin", "directory of stemd and the example plugins")
	data := flag.String("data", env.DevDir(os.Getenv), "data directory of stemd -dev")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *data); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, data string) (err error) {
	d, err := startDaemon(ctx, bin, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()

	store, err := sqlite.Open(ctx, d.info.URL, stem.Namespace(d.info.Namespace))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := d.waitReady(ctx, store); err != nil {
		return err
	}
	fmt.Printf("stemd -dev  data %s   store %s   namespace %s\n", tilde(data), store.Info.Kind, store.Info.Namespace)
	if err := printPools(ctx, store); err != nil {
		return err
	}

	out := filepath.Join(data, "demo", "thumbnails")
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return err
	}
	work, err := collect(out)
	if err != nil {
		return err
	}
	client := stem.NewClient(store)
	ids, err := work.enqueue(ctx, client)
	if err != nil {
		return err
	}
	fmt.Printf("enqueued %s pictures and %s files\n", thousands(len(work.pictures)), thousands(len(work.files)))

	totals, err := watch(ctx, store, ids)
	if err != nil {
		return err
	}
	return report(ctx, store, totals, near(bin), out, ids)
}

// near is a directory as a person here would type it.
func near(dir string) string {
	here, err := os.Getwd()
	if err != nil {
		return dir
	}
	if rel, err := filepath.Rel(here, dir); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return dir
}
