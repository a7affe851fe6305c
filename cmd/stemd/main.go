// Command stemd is the daemon: it claims tasks and runs them in handler plugins.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	_ "time/tzdata" // zones must not depend on the host

	"github.com/redis/go-redis/v9/logging"
)

// version is set at build time.
var version = "0.1.0"

// ballast is counted by the garbage collector and never touched, so it takes address space and no memory. A heap may double before
// it is collected: with a ballast that is at 64 MiB and not at 4, which is worth a seventh of the throughput of a small daemon.
const ballast = 32 << 20

func main() {
	logging.Disable() // its errors come back from the calls, and are logged here with what was being done
	weight := make([]byte, ballast)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)
	p := &program{args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, signals: signals}
	code := p.run(context.Background())
	runtime.KeepAlive(weight)
	os.Exit(code)
}
