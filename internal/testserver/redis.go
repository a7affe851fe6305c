package testserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is one server with its files. By default it is as production should be: AOF with an fsync each second, no snapshots, nothing
// evicted.
type Redis struct {
	Addr string // host:port, loopback
	Dir  string // its files; empty for a server that somebody else runs
	// Client speaks to it with full rights.
	Client *redis.Client

	process  *process
	dir      *dir   // nil: the directory is somebody else's to remove
	external string // the URL of STEM_TEST_REDIS_URL
	tls      *Certificates
}

// StartRedis starts a server. Each directive is a line of redis.conf, such as "appendfsync always"; a later one wins.
func StartRedis(ctx context.Context, directives ...string) (*Redis, error) {
	d, err := newDir()
	if err != nil {
		return nil, err
	}
	r, err := startRedis(ctx, d.path, nil, directives)
	if err != nil {
		return nil, errors.Join(err, d.remove())
	}
	r.dir = d
	return r, nil
}

// startRedis starts a server in a directory. It tries other ports when somebody was faster to take one.
func startRedis(ctx context.Context, dir string, certs *Certificates, directives []string) (*Redis, error) {
	path, err := program("redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	for {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		r := &Redis{Addr: address(port), Dir: dir, tls: certs}
		file := dir + "/redis.conf"
		if err := os.WriteFile(file, []byte(r.conf(port, directives)), 0o600); err != nil {
			return nil, err
		}
		args := []string{file}
		if strings.Contains(strings.Join(directives, "\n"), "sentinel monitor") {
			args = append(args, "--sentinel")
		}
		r.process = &process{path: path, args: args, dir: dir}
		r.Client = redis.NewClient(r.options())
		err = r.Start(ctx)
		if err == nil {
			return r, nil
		}
		err = errors.Join(err, r.process.kill(), r.Client.Close())
		if !strings.Contains(r.process.lastWords(), "Address already in use") {
			return nil, err
		}
	}
}

func (r *Redis) conf(port int, directives []string) string {
	lines := []string{"bind 127.0.0.1", "daemonize no", "dir " + strconv.Quote(r.Dir), `logfile ""`}
	if r.tls == nil {
		lines = append(lines, fmt.Sprintf("port %d", port))
	} else {
		lines = append(lines, "port 0", fmt.Sprintf("tls-port %d", port), "tls-auth-clients optional",
			"tls-ca-cert-file "+strconv.Quote(r.tls.CA), "tls-cert-file "+strconv.Quote(r.tls.ServerCert), "tls-key-file "+strconv.Quote(r.tls.ServerKey))
	}
	if !strings.Contains(strings.Join(directives, "\n"), "sentinel monitor") {
		lines = append(lines, `save ""`, "appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction", "enable-debug-command yes")
	}
	if strings.Contains(strings.Join(directives, "\n"), "cluster-enabled yes") {
		lines = append(lines, fmt.Sprintf("cluster-port %d", port+1))
	}
	return strings.Join(append(lines, directives...), "\n") + "\n"
}

func (r *Redis) options() *redis.Options {
	o := &redis.Options{Addr: r.Addr, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true}
	if r.tls != nil {
		o.TLSConfig = r.tls.client()
	}
	return o
}

// URL is its database 0 as the operator writes it.
func (r *Redis) URL() string { return r.UserURL("", "", 0) }

// UserURL is a database of it for an ACL user; an empty name is the default user.
func (r *Redis) UserURL(name, password string, db int) string {
	if r.external != "" {
		return r.external
	}
	u := url.URL{Scheme: "redis", Host: r.Addr, Path: "/" + strconv.Itoa(db)}
	if r.tls != nil {
		u.Scheme = "rediss"
	}
	if name != "" {
		u.User = url.UserPassword(name, password)
	}
	return u.String()
}

// URLBehind is its URL for who reaches it through a proxy: the same user, password and database.
func (r *Redis) URLBehind(p *Proxy) (string, error) {
	u, err := url.Parse(r.URL())
	if err != nil {
		return "", errors.New("testserver: the URL can not be read") // the error would show the password
	}
	u.Host = p.Addr
	return u.String(), nil
}

// Start runs the server again after Kill and waits until it has read its data.
func (r *Redis) Start(ctx context.Context) error {
	if err := r.Launch(); err != nil {
		return err
	}
	return r.Ready(ctx)
}

// Launch runs the server again and returns at once: it may still be reading its data and answer LOADING.
func (r *Redis) Launch() error { return r.own(func() error { return r.process.start() }) }

// Ready waits until the server answers.
func (r *Redis) Ready(ctx context.Context) error {
	ping := func() error { return r.Client.Ping(ctx).Err() }
	if r.external != "" {
		return poll(ctx, ping)
	}
	return r.process.until(ctx, func() error {
		conn, err := net.Dial("tcp", r.Addr) // the client would log that nobody listens yet
		if err != nil {
			return err
		}
		return errors.Join(conn.Close(), ping())
	})
}

// Answer is what the server answers to PING on a connection of its own: a pool that was refused does not try again for a second. Empty:
// nothing.
func (r *Redis) Answer() (answer string) {
	conn, err := net.Dial("tcp", r.Addr)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return ""
	}
	_, _ = conn.Write([]byte("PING\r\n"))
	answer, _ = bufio.NewReader(conn).ReadString('\n')
	return answer
}

// SlowToRead are directives of a server that, once it has been Burdened, takes seconds to read its data: it looks up from that each 1024
// commands.
func SlowToRead() []string { return []string{"appendfsync always", "key-load-delay 200"} }

// Burden writes 20,000 keys beside those of tests, which begin so.
func (r *Redis) Burden(ctx context.Context, prefix string) error {
	_, err := r.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 20_000 {
			p.Set(ctx, prefix+strconv.Itoa(i), "", 0)
		}
		return nil
	})
	return err
}

// Kill is kill -9.
func (r *Redis) Kill() error { return r.own(func() error { return r.process.kill() }) }

// Pause stops the process (SIGSTOP): connections stay and nobody answers.
func (r *Redis) Pause() error {
	return r.own(func() error { return r.process.signal(syscall.SIGSTOP) })
}

// Resume ends Pause.
func (r *Redis) Resume() error {
	return r.own(func() error { return r.process.signal(syscall.SIGCONT) })
}

// Pid is the server's process; 0 for a server that somebody else runs.
func (r *Redis) Pid() int {
	if r.external != "" {
		return 0
	}
	return r.process.cmd.Process.Pid
}

func (r *Redis) own(do func() error) error {
	if r.external != "" {
		return errors.New("testserver: this server belongs to somebody else (" + existing + "): use NewRedis for a test that kills it")
	}
	return do()
}

// SetUser creates an ACL user with a password and rules such as "~{stem}:*".
func (r *Redis) SetUser(ctx context.Context, name, password string, rules ...string) error {
	args := []any{"ACL", "SETUSER", name, "reset", "on", ">" + password}
	for _, rule := range rules {
		args = append(args, rule)
	}
	return r.Client.Do(ctx, args...).Err()
}

// Close ends the server and removes its files.
func (r *Redis) Close() error {
	err := r.Client.Close()
	if r.process != nil {
		err = errors.Join(err, r.process.kill())
	}
	if r.dir != nil {
		err = errors.Join(err, r.dir.remove())
	}
	return err
}
