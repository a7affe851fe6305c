package host_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
)

// hoarded is never given back.
var hoarded [][]byte

// resource runs the tasks that use something up or say what they may use.
func (p *service) resource(ctx context.Context, name, arg string, o *pluginv1.Outcome) error {
	switch name {
	case "hoard": // MiB, then so many milliseconds
		var mib, ms int
		_, _ = fmt.Sscan(arg, &mib, &ms)
		for range mib {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			hoarded = append(hoarded, b)
		}
		time.Sleep(time.Duration(ms) * time.Millisecond)
		return nil
	case "hoard-elsewhere": // MiB in a child process, for a minute
		return exec.CommandContext(ctx, "/bin/sh", "-c", fmt.Sprintf("(head -c %sM /dev/zero; sleep 60) | tail -c %sM >/dev/null", arg, arg)).Run()
	case "limits":
		var files syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
			return err
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return err
		}
		stat, err := os.ReadFile("/proc/self/stat")
		if err != nil {
			return err
		}
		_, umask, _ := strings.Cut(string(status), "Umask:")
		nice := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[16]
		o.Result = fmt.Appendf(nil, "%d %d %s %s", files.Cur, files.Max, nice, strings.Fields(umask)[0])
		return nil
	case "whoami":
		groups, err := os.Getgroups()
		if err != nil {
			return err
		}
		writable := "writable"
		if err := os.WriteFile(filepath.Join(os.Getenv("TMPDIR"), "x"), nil, 0o600); err != nil {
			writable = err.Error()
		}
		o.Result = fmt.Appendf(nil, "%d %d %v %s", os.Getuid(), os.Getgid(), groups, writable)
		return nil
	}
	return fmt.Errorf("unknown task %q", name)
}
