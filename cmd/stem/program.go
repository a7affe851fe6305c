package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
	"github.com/stemd/stem/adapters/all"
	"github.com/stemd/stem/config"
	"github.com/stemd/stem/config/env"
)

// Exit codes.
const (
	exitOK       = 0
	exitNotFound = 1 // also: a wait that timed out
	exitUsage    = 64
	exitRuntime  = 70
)

// program is one run of stem, apart from the process it runs in.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            env.Lookup
	terminal       bool // a person can be asked
	progress       bool // a progress bar can be drawn on stderr

	broker, results, namespace string
	configs                    []string
	tls                        stem.TLS // of all stores, set by where
	json                       bool
}

// commands is every command, in the order of the help.
func (p *program) commands() []*cobra.Command {
	return []*cobra.Command{
		p.enqueueCommand(),
		p.taskCommand(),
		p.tasksCommand(),
		p.observeCommand(),
		p.dlqCommand(),
		p.pluginCommand(),
		p.healthCommand(),
		p.dbCommand(),
		p.configCommand(),
	}
}

func (p *program) run(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use: "stem", Short: "Enqueue tasks, see what became of them, act on them", Version: version,
		SilenceErrors: true, SilenceUsage: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("stem {{.Version}}\n")
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetArgs(args)
	flags := root.PersistentFlags()
	flags.StringVar(&p.broker, "broker", "", "store URL (default: STEM_BROKER_URL, --config, the stemd -dev of this user)")
	flags.StringVar(&p.results, "results", "", "store URL of results, when they are apart (default: STEM_RESULT_BACKEND_URL)")
	flags.StringVar(&p.namespace, "namespace", "", "namespace (default: STEM_NAMESPACE, that of the daemon found, stem)")
	flags.StringArrayVar(&p.configs, "config", nil, "take the store from a daemon's configuration, file or directory")
	flags.BoolVar(&p.json, "json", false, "print one JSON document")
	root.AddCommand(p.commands()...)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError("%w", err) })
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitRuntime
	var coded *exitError
	if errors.As(err, &coded) {
		code = coded.code
	} else if strings.HasPrefix(err.Error(), "unknown command") || strings.Contains(err.Error(), "arg(s)") {
		code = exitUsage // cobra's own checks have no type
	}
	if err.Error() != "" {
		fmt.Fprintf(p.stderr, "%v (exit %d)\n", err, code)
	}
	return code
}

// exitError is an error with an exit code of its own; others exit with exitRuntime.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &exitError{exitNotFound, fmt.Errorf(format, args...)}
}

// group is a command that only has others below it.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError("unknown command %q of %s", args[0], cmd.CommandPath())
		}
		return nil
	}, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	c.AddCommand(children...)
	return c
}

// where is the store that flags, environment, configuration and a running stemd -dev add up to.
func (p *program) where() (broker, results env.Store, err error) {
	results = env.Store{URL: p.results, Source: "--results"}
	if results.URL == "" {
		results = env.Store{URL: p.env(env.ResultsURL), Source: env.ResultsURL}
	}
	p.tls = env.TLS(p.env, stem.TLS{})
	if len(p.configs) > 0 && p.broker == "" {
		cfg, err := config.Load(p.env, p.configs...)
		if err != nil {
			return broker, results, &exitError{exitUsage, err}
		}
		p.tls = cfg.TLS
		broker = env.Store{URL: cfg.Broker.URL, Namespace: cfg.Namespace, Source: cfg.Files[0]}
		if results.URL == "" {
			results = env.Store{URL: cfg.Results.URL, Source: cfg.Files[0]}
		}
	} else {
		var ok bool
		if broker, ok = env.FindStore(p.env, p.broker); !ok {
			return broker, results, usageError("no store to talk to: give --broker URL, set %s, point --config at the daemon's configuration, or start one with stemd -dev", env.BrokerURL)
		}
	}
	if p.namespace != "" {
		broker.Namespace = p.namespace
	}
	if broker.Namespace == "" {
		broker.Namespace = stem.DefaultNamespace
	}
	return broker, results, nil
}

// open opens the store for a command. Only commands that enqueue may create one: a mistyped path must not look like an empty store.
func (p *program) open(ctx context.Context, create bool) (stem.Store, error) {
	broker, results, err := p.where()
	if err != nil {
		return stem.Store{}, err
	}
	store, err := p.connect(ctx, broker, broker.Namespace, create)
	if err != nil || results.URL == "" || results.URL == broker.URL {
		return store, err
	}
	apart, err := p.connect(ctx, results, broker.Namespace, create)
	if err != nil {
		return stem.Store{}, errors.Join(err, store.Close())
	}
	both := adapters.Compose(store, apart, store)
	both.CloseFunc = func() error { return errors.Join(store.Close(), apart.Close()) }
	return both, nil
}

// unreachable is why a store can not be opened. It ends with where more is said, except where stem health itself prints it.
type unreachable struct{ error }

func (u unreachable) Unwrap() error { return u.error }

func (u unreachable) Error() string { return u.why() + ". stem health says more" }

// why is the error as one sentence without its full stop, which some servers give their own.
func (u unreachable) why() string { return strings.TrimSuffix(u.error.Error(), ".") }

func (p *program) connect(ctx context.Context, at env.Store, namespace string, create bool) (stem.Store, error) {
	if err := all.Check(at.URL); err != nil {
		return stem.Store{}, usageError("%s: %w", at.Source, err)
	}
	if path, ok := strings.CutPrefix(at.URL, "sqlite://"); ok && !create {
		path, _, _ = strings.Cut(path, "?")
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return stem.Store{}, fmt.Errorf("there is no store at %s (from %s): start stemd with it, or check the path", path, at.Source)
		}
	}
	store, err := all.Open(ctx, at.URL, stem.Namespace(namespace), stem.WithTLS(p.tls))
	if err != nil {
		return store, unreachable{fmt.Errorf("cannot reach %s (from %s): %w", all.Redact(at.URL), at.Source, err)}
	}
	return store, nil
}

// withStore runs fn with the open store and closes it.
func (p *program) withStore(ctx context.Context, create bool, fn func(stem.Store) error) (err error) {
	store, err := p.open(ctx, create)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return fn(store)
}

func inspectorOf(store stem.Store) (stem.Inspector, error) {
	i, ok := store.Broker.(stem.Inspector)
	if !ok {
		return nil, fmt.Errorf("looking into queues: %w (%s)", stem.ErrUnsupported, store.Info.Kind)
	}
	return i, nil
}
