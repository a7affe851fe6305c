// Command stem is the command line: it enqueues, looks and acts on the same store as the daemon, from any process on the host.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // zones must not depend on the host

	"github.com/redis/go-redis/v9/logging"
	"golang.org/x/term"
)

// version is set at build time.
var version = "0.1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logging.Disable() // its errors come back from the calls
	p := &program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv,
		terminal: term.IsTerminal(int(os.Stdout.Fd())) && term.IsTerminal(int(os.Stdin.Fd())),
		progress: term.IsTerminal(int(os.Stderr.Fd())),
	}
	os.Exit(p.run(ctx, os.Args[1:]))
}
