// Command stemd is the daemon: it claims tasks and runs them in handler plugins.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // zones must not depend on the host
)

// version is set at build time.
var version = "0.1.0"

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)
	p := &program{args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, signals: signals}
	os.Exit(p.run(context.Background()))
}
