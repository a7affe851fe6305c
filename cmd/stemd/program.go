package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/config"
	"github.com/stemd/stem/config/env"
	"github.com/stemd/stem/daemon"
	"github.com/stemd/stem/daemon/worker"
	"github.com/stemd/stem/plugin/host"
)

// Exit codes.
const (
	exitOK      = 0
	exitUsage   = 64
	exitRuntime = 70
)

// program is one run of stemd, apart from the process it runs in.
type program struct {
	args    []string
	stdout  io.Writer
	stderr  io.Writer
	env     env.Lookup
	signals <-chan os.Signal

	configs   paths
	dev       bool
	data      string
	node      string
	namespace string
	logLevel  string
	check     bool
	plugins   []string
	log       hclog.Logger
}

// paths is a flag that may be given several times.
type paths []string

func (p *paths) String() string     { return strings.Join(*p, ",") }
func (p *paths) Set(v string) error { *p = append(*p, v); return nil }

const usage = `stemd runs the tasks of a store in handler plugins.

  stemd -config FILE|DIR [-config …]     run a configuration; SIGHUP takes it anew
  stemd -dev [-data DIR] PLUGIN …        run plugins on an embedded store, no file needed
  stemd -check -config FILE|DIR          check a configuration and start nothing

`

func (p *program) run(ctx context.Context) int {
	code, done := p.parse()
	if done {
		return code
	}
	p.log = p.logger()
	begun := time.Now()
	cfg, err := p.load()
	if err != nil {
		return p.fail(exitUsage, fmt.Errorf("%w\nnothing was started", err))
	}
	if p.check {
		fmt.Fprintf(p.stdout, "ok: %d pools from %s\n", len(cfg.Pools), strings.Join(cfg.Files, ", "))
		return exitOK
	}
	opts := daemon.Options{Version: version, Env: p.env, Log: p.log, Opened: p.opened(cfg), Ready: p.ready(begun), Reaper: host.NewReaper()}
	d, err := daemon.New(cfg, opts)
	if err != nil {
		return p.fail(exitUsage, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	if err := p.serve(ctx, d, ended); err != nil {
		return p.fail(exitRuntime, err)
	}
	return exitOK
}

func (p *program) parse() (code int, done bool) {
	fs := flag.NewFlagSet("stemd", flag.ContinueOnError)
	fs.SetOutput(p.stderr)
	fs.Var(&p.configs, "config", "configuration file, or directory of *.hcl files; may be repeated")
	fs.BoolVar(&p.dev, "dev", false, "development: an embedded store in -data, plugins from the arguments")
	fs.StringVar(&p.data, "data", "", "data directory of -dev (default "+env.DevDir(p.env)+")")
	fs.StringVar(&p.node, "node", "", "name of this daemon (default: node of the configuration, STEM_WORKER_NODE, host name)")
	fs.StringVar(&p.namespace, "namespace", "", "namespace (default: that of the configuration, STEM_NAMESPACE, stem)")
	fs.StringVar(&p.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	fs.BoolVar(&p.check, "check", false, "check the configuration and start nothing")
	showVersion := fs.Bool("version", false, "print the version")
	fs.Usage = func() { fmt.Fprint(p.stderr, usage); fs.PrintDefaults() }
	switch err := fs.Parse(p.args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, true
	case err != nil:
		return exitUsage, true
	case *showVersion:
		fmt.Fprintln(p.stdout, "stemd", version)
		return exitOK, true
	}
	p.plugins = fs.Args()
	var mistake string
	switch {
	case hclog.LevelFromString(p.logLevel) == hclog.NoLevel:
		mistake = fmt.Sprintf("-log-level %q: want trace, debug, info, warn or error", p.logLevel)
	case p.dev && len(p.configs) > 0:
		mistake = "-dev and -config exclude each other"
	case p.dev && len(p.plugins) == 0:
		mistake = "-dev needs at least one plugin: stemd -dev ./bin/media"
	case !p.dev && len(p.configs) == 0:
		mistake = "nothing to run: give -config FILE or -dev PLUGIN"
	case !p.dev && len(p.plugins) > 0:
		mistake = fmt.Sprintf("unexpected argument %q: plugins are named in the configuration, or after -dev", p.plugins[0])
	case !p.dev && p.data != "":
		mistake = "-data goes with -dev"
	default:
		return exitOK, false
	}
	return p.fail(exitUsage, errors.New(mistake+" (stemd -help says more)")), true
}

// load makes the configuration of -config or -dev.
func (p *program) load() (*config.Config, error) {
	var cfg *config.Config
	var err error
	if p.dev {
		cfg, err = p.devConfig()
	} else {
		cfg, err = config.Load(p.env, p.configs...)
	}
	if err != nil {
		return nil, err
	}
	if p.node != "" {
		cfg.Node = p.node
	}
	if p.namespace != "" {
		cfg.Namespace = p.namespace
	}
	return cfg, nil
}

// serve passes signals on until the daemon has ended. A reload can wait long for a plugin that does not start, so it is done
// beside: a stop must never wait for it.
func (p *program) serve(ctx context.Context, d *daemon.Daemon, ended <-chan error) error {
	hangups := make(chan struct{}, 1) // those that come while a reload is under way are one more
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangups {
			p.reload(ctx, d)
		}
	}()
	defer func() {
		close(hangups)
		<-done
	}()
	var mode worker.Mode
	for {
		select {
		case err := <-ended:
			return err
		case s := <-p.signals:
			if s == syscall.SIGHUP {
				select {
				case hangups <- struct{}{}:
				default:
				}
				continue
			}
			mode = p.stronger(mode, s)
			notify(sd.SdNotifyStopping)
			p.log.Info(fmt.Sprintf("%s: %s stop", s, mode))
			d.Shutdown(mode)
		}
	}
}

// stronger is the stop that a signal asks for; a further signal always asks for more than the one before.
func (p *program) stronger(now worker.Mode, s os.Signal) worker.Mode {
	asked := worker.Warm
	switch {
	case s == syscall.SIGQUIT:
		asked = worker.Hard
	case s == syscall.SIGINT && !p.dev:
		asked = worker.Soft
	case s == syscall.SIGINT && now != 0: // at a terminal, twice means now
		asked = worker.Hard
	}
	return min(max(asked, now+1), worker.Hard)
}

func (p *program) reload(ctx context.Context, d *daemon.Daemon) {
	notify(sd.SdNotifyReloading)
	defer notify(sd.SdNotifyReady)
	if p.dev {
		p.log.Info("hangup: -dev has no configuration to reload")
		return
	}
	begun := time.Now()
	cfg, err := p.load()
	if err == nil {
		err = d.Reload(ctx, cfg)
	}
	if err != nil {
		p.log.Error(fmt.Sprintf("reload refused, still running the configuration of %s: %v", d.Since().Format(time.TimeOnly), err))
		return
	}
	p.log.Info(fmt.Sprintf("reloaded %s in %s: %d pools", strings.Join(cfg.Files, ", "), time.Since(begun).Round(time.Millisecond), len(cfg.Pools)))
}

// opened announces the store before anything runs.
func (p *program) opened(cfg *config.Config) func(stem.Store) error {
	return func(store stem.Store) error {
		p.log.Info("store open", "url", store.Info.URL, "version", store.Info.Version, "namespace", store.Info.Namespace)
		if !p.dev {
			notify(sd.SdNotifyReady)
			return nil
		}
		if err := env.WriteDev(p.env, env.DevInfo{URL: store.Info.URL, Namespace: store.Info.Namespace, Node: cfg.Node, Dir: p.data}); err != nil {
			return fmt.Errorf("-dev can not say where its store is: %w", err)
		}
		return nil
	}
}

// ready says that everything is up.
func (p *program) ready(begun time.Time) func(stem.Heartbeat) {
	return func(hb stem.Heartbeat) {
		processes, plugins, queues := 0, map[string]bool{}, []string{}
		for _, pool := range hb.Pools {
			processes += pool.Size
			plugins[pool.Plugin] = true
		}
		for _, q := range hb.Queues {
			queues = append(queues, q.Name)
		}
		text := fmt.Sprintf("ready in %d ms: %s, %s, queues %s", time.Since(begun).Milliseconds(),
			count(len(plugins), "plugin"), count(processes, "process"), strings.Join(queues, ", "))
		if p.dev {
			fmt.Fprintf(p.stdout, "%s     (Ctrl-C drains; twice stops now)\n", text)
			return
		}
		p.log.Info(text)
	}
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "s"):
		return fmt.Sprintf("%d %ses", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (p *program) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Level: hclog.LevelFromString(p.logLevel), Output: p.stderr, JSONFormat: p.env(env.LogFormat) == "json", TimeFormat: "15:04:05.000",
	})
}

func (p *program) fail(code int, err error) int {
	fmt.Fprintf(p.stderr, "%v (exit %d)\n", err, code)
	return code
}

// notify tells systemd, where there is one.
func notify(state string) { _, _ = sd.SdNotify(false, state) }

// pluginName is what a plugin is called in -dev: the name of its file.
func pluginName(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}
