package host

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound what a process may use; they are about processes, as timeouts are about tasks. Zero fields: no limit. What is
// enforced by which means depends on the system: Stats says it.
type Limits struct {
	Memory int64   // bytes resident, with its child processes
	CPU    float64 // processors; 0.5 is half of one
	Pids   int     // threads and processes
	Files  int     // open files, at least 64: the process needs some for itself
	Nice   int     // added to the daemon's own niceness; negative only as root
	User   string  // name or number of the user it runs as, with that user's group and no other; only as root
	Umask  *int
}

// LeastFiles is what a plugin needs to start.
const LeastFiles = 64

// watchEvery is the time between two looks at the memory of processes that run something.
const watchEvery = 100 * time.Millisecond

func (l Limits) check() error {
	switch {
	case l.Memory < 0 || l.CPU < 0 || l.Pids < 0:
		return errors.New("limits must not be negative")
	case l.Files != 0 && l.Files < LeastFiles:
		return fmt.Errorf("limits: files is %d, want at least %d: a plugin needs some to start", l.Files, LeastFiles)
	case l.Nice < -20 || l.Nice > 19:
		return fmt.Errorf("limits: nice is %d, want -20 to 19", l.Nice)
	case l.Umask != nil && (*l.Umask < 0 || *l.Umask > 0o777):
		return fmt.Errorf("limits: umask is %#o, want 0 to 0777", *l.Umask)
	}
	return nil
}

// identity is who a process runs as.
type identity struct {
	uid, gid int
	name     string
	home     string
}

// LookupUser finds a user by name or number.
func LookupUser(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, byID := user.LookupId(name); byID == nil {
			return u, nil
		}
		return nil, fmt.Errorf("there is no user %q on this system", name)
	}
	return u, nil
}

// identify resolves Limits.User; nil: the daemon's own user.
func (l Limits) identify() (*identity, error) {
	if l.Nice < 0 && os.Geteuid() != 0 {
		return nil, fmt.Errorf("limits: nice %d needs a daemon that runs as root", l.Nice)
	}
	if l.User == "" {
		return nil, nil
	}
	u, err := LookupUser(l.User)
	if err != nil {
		return nil, fmt.Errorf("limits: user: %w", err)
	}
	id := &identity{name: u.Username, home: u.HomeDir}
	if id.uid, err = strconv.Atoi(u.Uid); err == nil {
		id.gid, err = strconv.Atoi(u.Gid)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("limits: user %q: %w", l.User, err)
	case id.uid == os.Geteuid():
		return nil, nil
	case os.Geteuid() != 0:
		return nil, fmt.Errorf("limits: to run as user %q the daemon must run as root; it runs as user %d", l.User, os.Geteuid())
	case l.Files > 0 && !mayLimitOthers():
		return nil, fmt.Errorf("limits: files for another user, %q, needs a daemon with CAP_SYS_RESOURCE", l.User)
	}
	return id, nil
}

// mayLimitOthers says whether this process may set resource limits of processes of other users.
func mayLimitOthers() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// credential is for the fork; nil id: none.
func (id *identity) credential() *syscall.Credential {
	if id == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid), Groups: []uint32{}}
}

// group is the number of the user's group as text; empty: none is needed.
func (id *identity) group() string {
	if id == nil {
		return ""
	}
	return strconv.Itoa(id.gid)
}

// own gives files to the user.
func (id *identity) own(paths ...string) error {
	if id == nil {
		return nil
	}
	for _, path := range paths {
		if err := os.Chown(path, id.uid, id.gid); err != nil {
			return err
		}
	}
	return nil
}

// thread prepares the thread that starts processes, so that they inherit it from their first instruction on.
func (l Limits) thread() error {
	if l.Nice != 0 {
		own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
		if err == nil {
			err = unix.Setpriority(unix.PRIO_PROCESS, 0, min(20-own+l.Nice, 19)) // the kernel tells 20 − nice
		}
		if err != nil {
			return fmt.Errorf("limits: nice %d: %w", l.Nice, err)
		}
	}
	if l.Umask != nil {
		if err := unix.Unshare(unix.CLONE_FS); err != nil { // else the umask is the whole daemon's
			return fmt.Errorf("limits: a umask of its own is not allowed here: %w", err)
		}
		unix.Umask(*l.Umask)
	}
	return nil
}

// restrict sets the resource limits of a running process. It is called right after the start and once more before the first
// attempt: a Go runtime raises its own limit of open files when it starts, and one of root's can do so beyond ours.
func (p *Pool) restrict(pid int) error {
	l := p.cfg.Limits
	set := func(what int, n uint64) error {
		return unix.Prlimit(pid, what, &unix.Rlimit{Cur: n, Max: n}, nil)
	}
	var errs []error
	if l.Files > 0 {
		errs = append(errs, set(unix.RLIMIT_NOFILE, uint64(l.Files)))
	}
	if p.user != nil && l.Pids > 0 && p.groups == nil && mayLimitOthers() {
		// It counts all processes of the user.
		errs = append(errs, set(unix.RLIMIT_NPROC, uint64(l.Pids*(p.cfg.Processes.Max+p.cfg.Processes.Spare))))
	}
	if err := errors.Join(errs...); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("set the limits of pid %d: %w", pid, err)
	}
	return nil
}

// describe says of each limit how it is enforced.
func (p *Pool) describe() (out []string) {
	l := p.cfg.Limits
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	grouped := p.groups != nil
	if l.Memory > 0 {
		if grouped {
			say("memory %s: cgroup v2", bytesOf(l.Memory))
		} else {
			say("memory %s: RSS watch every %v", bytesOf(l.Memory), watchEvery)
		}
	}
	if l.CPU > 0 {
		if grouped {
			say("cpu %g: cgroup v2", l.CPU)
		} else {
			say("cpu %g: not enforced, it needs a delegated cgroup v2", l.CPU)
		}
	}
	if l.Pids > 0 {
		switch {
		case grouped:
			say("pids %d: cgroup v2", l.Pids)
		case p.user != nil && !mayLimitOthers():
			say("pids %d: not enforced, without a delegated cgroup v2 it needs CAP_SYS_RESOURCE", l.Pids)
		case p.user != nil:
			say("pids %d: RLIMIT_NPROC of user %s, all its processes together", l.Pids*(p.cfg.Processes.Max+p.cfg.Processes.Spare), p.user.name)
		default:
			say("pids %d: not enforced, it needs a delegated cgroup v2 or a user of its own", l.Pids)
		}
	}
	if l.Files > 0 {
		say("files %d: RLIMIT_NOFILE", l.Files)
	}
	if l.Nice != 0 {
		say("nice %+d", l.Nice)
	}
	if p.user != nil {
		say("user %s", p.user.name)
	}
	if l.Umask != nil {
		say("umask %04o", *l.Umask)
	}
	return out
}

// limitsInForce is what describe says by the names of the limits, without those that nothing enforces.
func (p *Pool) limitsInForce() map[string]string {
	out := make(map[string]string, len(p.mechanisms))
	for _, m := range p.mechanisms {
		name, how, _ := strings.Cut(m, " ")
		if value, means, ok := strings.Cut(how, ": "); ok {
			if strings.HasPrefix(means, "not enforced") {
				continue
			}
			how = value + " (" + means + ")"
		}
		out[name] = how
	}
	return out
}

// bytesOf is a size for people.
func bytesOf(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.4g %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprint(n, " B")
}
