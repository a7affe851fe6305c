package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	"github.com/stemd/stem/plugin/register"
	"github.com/stemd/stem/plugin/wire"
	"google.golang.org/grpc"
)

// maxFrame bounds a frame in either direction: 1 MiB of tasks or results as a batch, or one message of the largest size.
const maxFrame = 8 << 20

// window is how many bytes may be on their way. It is fixed: to find out what it may be gRPC sends a ping with the frames of an idle stream,
// and three writes and wake-ups beside a task delay its start.
const window = 1 << 20

// inherited are the environment variables every plugin gets beside those its configuration names. TMPDIR is its own.
var inherited = [...]string{"PATH", "HOME", "TZ", "LANG"}

// grpcPlugin is go-plugin's view of the one plugin: a client of the service on its connection.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (grpcPlugin) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return fmt.Errorf("the host serves no plugin")
}

func (grpcPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return pluginv1.NewPluginServiceClient(conn), nil
}

// launch starts a process and returns it when it takes attempts. It takes at most Config.Start, and less when ctx ends. On an
// error nothing is left of the process; it is nil if it did not come to one.
func (p *Pool) launch(ctx context.Context) (*process, error) {
	timeout, cancel := context.WithTimeout(ctx, p.cfg.Start)
	defer cancel()
	verified, err := p.verify()
	if err != nil {
		return nil, err
	}
	if verified != nil {
		defer func() { _ = verified.Close() }()
	}
	dir, err := p.dir.child()
	tmp := filepath.Join(dir, "tmp")
	if err == nil {
		err = os.Mkdir(tmp, 0o700)
	}
	if err == nil {
		err = p.user.own(dir, tmp)
	}
	if err != nil {
		return nil, &startError{Pool: p.cfg.Name, Command: p.cfg.Command[0], What: "has no private directory", Err: err}
	}
	proc := newProcess(p, dir)
	proc.child.verified = verified
	if path, err := exec.LookPath(p.cfg.Command[0]); err == nil {
		proc.build = p.builds.of(path)
	}
	if err := proc.connect(timeout); err != nil {
		proc.abandon()
		if ctx.Err() != nil {
			return proc, ctx.Err()
		}
		return proc, proc.explain(timeout, err)
	}
	return proc, nil
}

// verify compares the program with its pin and returns it open, so that what is started is what was read: the path may be given
// to another file meanwhile. Nil without a pin, and for scripts, which their interpreter opens by path.
func (p *Pool) verify() (*os.File, error) {
	if p.cfg.SHA256 == "" {
		return nil, nil
	}
	fail := func(what string, err error) (*os.File, error) {
		return nil, &startError{Pool: p.cfg.Name, Command: p.cfg.Command[0], What: what, Err: err}
	}
	const unreadable = "can not be read to verify its sha256"
	path, err := exec.LookPath(p.cfg.Command[0])
	if err != nil {
		return fail(unreadable, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(unreadable, err)
	}
	sum, script, err := fileSum(f)
	switch {
	case err != nil:
		_ = f.Close()
		return fail(unreadable, err)
	case sum != p.cfg.SHA256:
		_ = f.Close()
		return fail("is not the pinned build",
			fmt.Errorf("its sha256 is %s, the configuration wants %s: install that build or update sha256", sum, p.cfg.SHA256))
	case script:
		return nil, f.Close()
	}
	return f, nil
}

func fileSum(r io.Reader) (sum string, script bool, err error) {
	h, head := sha256.New(), make([]byte, 2)
	n, err := io.ReadFull(r, head)
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		h.Write(head[:n])
		_, err = io.Copy(h, r)
	}
	return hex.EncodeToString(h.Sum(nil)), string(head) == "#!", err
}

// connect brings the process from exec to ready.
func (p *process) connect(ctx context.Context) error {
	cfg := p.pool.cfg
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: plugin.ProtocolVersion, MagicCookieKey: plugin.CookieKey, MagicCookieValue: plugin.CookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{plugin.ProtocolVersion: {plugin.Name: grpcPlugin{}}},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			if err := p.confine(); err != nil {
				return nil, err
			}
			return p.child, p.child.prepare(ctx, cfg, p.dir, cmd.Env)
		},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		SkipHostEnv:      true,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: p.dir, Group: p.pool.user.group()},
		StartTimeout:     2 * cfg.Start, // ours ends first, by killing
		SyncStdout:       p.child.out.stdout,
		SyncStderr:       p.child.out.stderr,
		// Level Off and not a null logger: go-plugin parses what a plugin prints unless its logger, and that one's Named, say Off.
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard}),
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxFrame), grpc.MaxCallSendMsgSize(maxFrame)),
			grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		},
	})
	rpc, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := rpc.Dispense(plugin.Name)
	if err != nil {
		return err
	}
	service, ok := raw.(pluginv1.PluginServiceClient)
	if !ok {
		return fmt.Errorf("unexpected client %T", raw)
	}
	described, err := service.Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	p.manifest = wire.Manifest(described.GetManifest())
	if p.manifest.Protocol != plugin.ProtocolVersion {
		return &versionError{Theirs: fmt.Sprint(p.manifest.Protocol)}
	}
	if err := p.pool.restrict(p.child.id.Pid); err != nil {
		return err
	}
	configure := &pluginv1.Configure{
		Slots: uint32(cfg.PerProcess), Worker: cfg.Worker, Pool: cfg.Name, Config: cfg.Config, MaxResult: uint64(cfg.MaxResult),
	}
	if cfg.Bare {
		p.ahead, configure.SendAhead = cfg.ahead, uint32(cfg.ahead[brisk])
	} else if slices.Contains(p.manifest.Features, plugin.FeatureRegister) {
		configure.Register = filepath.Join(p.dir, "register")
		if p.register, err = register.Create(configure.Register, cfg.PerProcess); err != nil {
			return err
		}
		if err = p.pool.user.own(configure.Register); err != nil {
			return err
		}
		if slices.Contains(p.manifest.Features, plugin.FeatureRecall) {
			p.ahead = cfg.ahead
			configure.SendAhead = uint32(cfg.ahead[brisk])
		}
	}
	return p.open(ctx, service, configure)
}

// confine chooses the user and the cgroup that the process is started in.
func (p *process) confine() (err error) {
	attr := p.child.cmd.SysProcAttr
	attr.Credential = p.pool.user.credential()
	if p.pool.groups == nil {
		return nil
	}
	if p.group, err = p.pool.groups.open(p.pool.cfg.Limits); err != nil {
		return err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(p.group.dir.Fd())
	p.child.extra = func() { _ = p.group.kill() } // the group of a process that is gone may be gone too
	return nil
}

// prepare completes the command. handshake is the environment go-plugin's handshake needs.
func (c *child) prepare(ctx context.Context, cfg Config, dir string, handshake []string) error {
	path, err := exec.LookPath(cfg.Command[0])
	if err != nil {
		return err
	}
	c.cmd.Path, c.cmd.Args = path, cfg.Command
	if c.verified != nil {
		c.cmd.Path = fmt.Sprintf("/proc/self/fd/%d", c.verified.Fd())
	}
	c.cmd.Env = environment(cfg, dir, handshake, os.LookupEnv)
	c.limit = ctx
	return nil
}

func environment(cfg Config, dir string, handshake []string, lookup func(string) (string, bool)) []string {
	env := append([]string{"TMPDIR=" + filepath.Join(dir, "tmp")}, handshake...)
	if cfg.PerProcess == 1 {
		env = append(env, "GOMAXPROCS=1")
	}
	for _, name := range append(inherited[:], cfg.Env...) {
		if name == "TMPDIR" || strings.Contains(name, "=") {
			continue
		}
		if value, ok := lookup(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env // of a name given twice exec keeps the last
}
