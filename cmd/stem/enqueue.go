package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
)

// enqueueFlags are the options of stem enqueue.
type enqueueFlags struct {
	queue, id         string
	priority, retries int
	delay, expires    duration
	soft, hard        duration
	heartbeat         duration
	eta               moment
	headers, meta     []string
	ignoreResult      bool
	force, wait       bool
	timeout           duration
	bulk              string
	cmd               *cobra.Command
}

func (p *program) enqueueCommand() *cobra.Command {
	f := &enqueueFlags{}
	cmd := &cobra.Command{
		Use:   "enqueue TASK [ARGS]",
		Short: "Enqueue a task, or thousands",
		Long: `Enqueue a task. ARGS is a JSON value, @file, or - for standard input; it is checked against the schema that the
task's plugin declared. With --bulk, each line of a file is the arguments of one task.`,
		Example: `  stem enqueue media.resize '{"path":"photo.jpg","width":320}' --wait
  stem enqueue archive.file --bulk files.ndjson`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withStore(cmd.Context(), true, func(store stem.Store) error {
				return p.enqueue(cmd.Context(), store, f, args)
			})
		},
	}
	f.cmd = cmd
	fl := cmd.Flags()
	fl.StringVarP(&f.queue, "queue", "q", "", "queue (default: the task's home queue)")
	fl.IntVar(&f.priority, "priority", 0, "0 to 9, 9 first")
	fl.Var(&f.delay, "delay", "not before this long from now")
	fl.Var(&f.eta, "eta", "not before this time (ISO-8601); wins over --delay")
	fl.Var(&f.expires, "expires", "cancel it if it could not start within this long")
	fl.StringVar(&f.id, "id", "", "choose the id; an id that exists is a duplicate")
	fl.IntVar(&f.retries, "max-retries", 0, "attempts after the first")
	fl.Var(&f.soft, "soft-limit", "cancel the handler after this long")
	fl.Var(&f.hard, "hard-limit", "kill the handler after this long")
	fl.Var(&f.heartbeat, "heartbeat-timeout", "kill the handler when it gives no sign of life for this long")
	fl.StringArrayVar(&f.headers, "header", nil, "name=value, may be repeated")
	fl.StringArrayVar(&f.meta, "meta", nil, "name=JSON, may be repeated")
	fl.BoolVar(&f.ignoreResult, "ignore-result", false, "do not keep the result")
	fl.BoolVar(&f.force, "force", false, "enqueue a name that no plugin declares, unchecked: it is parked until one does")
	fl.BoolVar(&f.wait, "wait", false, "wait for the end and print the result")
	fl.Var(&f.timeout, "timeout", "longest wait (default: for ever)")
	fl.StringVar(&f.bulk, "bulk", "", "file of arguments, one JSON value a line; - is standard input")
	return cmd
}

// options are the flags that were given; those that were not are left to definition and configuration.
func (f *enqueueFlags) options() ([]stem.Option, error) {
	var opts []stem.Option
	for name, option := range map[string]func() stem.Option{
		"queue":             func() stem.Option { return stem.Queue(f.queue) },
		"priority":          func() stem.Option { return stem.Priority(f.priority) },
		"delay":             func() stem.Option { return stem.Delay(f.delay.d) },
		"eta":               func() stem.Option { return stem.ETA(f.eta.t) },
		"expires":           func() stem.Option { return stem.ExpiresIn(f.expires.d) },
		"id":                func() stem.Option { return stem.TaskID(f.id) },
		"max-retries":       func() stem.Option { return stem.MaxRetries(f.retries) },
		"soft-limit":        func() stem.Option { return stem.SoftLimit(f.soft.d) },
		"hard-limit":        func() stem.Option { return stem.HardLimit(f.hard.d) },
		"heartbeat-timeout": func() stem.Option { return stem.HeartbeatTimeout(f.heartbeat.d) },
		"ignore-result":     func() stem.Option { return stem.IgnoreResult() },
	} {
		if f.cmd.Flags().Changed(name) {
			opts = append(opts, option())
		}
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return nil, usageError("--header %q: want name=value", h)
		}
		opts = append(opts, stem.HeaderValue(name, value))
	}
	for _, m := range f.meta {
		name, value, ok := strings.Cut(m, "=")
		if !ok || name == "" || !json.Valid([]byte(value)) {
			return nil, usageError("--meta %q: want name=JSON", m)
		}
		opts = append(opts, stem.Meta(name, json.RawMessage(value)))
	}
	return opts, nil
}

func (p *program) enqueue(ctx context.Context, store stem.Store, f *enqueueFlags, args []string) error {
	client := stem.NewClient(store)
	check, err := p.checkerFor(ctx, client, args[0], f.force)
	if err != nil {
		return err
	}
	opts, err := f.options()
	if err != nil {
		return err
	}
	if f.bulk != "" {
		if len(args) > 1 || f.id != "" || f.wait {
			return usageError("--bulk takes the arguments from the file: no ARGS, --id or --wait beside it")
		}
		return p.bulk(ctx, client, check, f.bulk, opts)
	}
	arg := ""
	if len(args) > 1 {
		arg = args[1]
	}
	raw, err := p.readArgs(arg)
	if err != nil {
		return err
	}
	if err := check.check(raw); err != nil {
		return err
	}
	begun := time.Now()
	handle, err := client.Enqueue(ctx, args[0], raw, opts...)
	if err != nil {
		return refusal(err)
	}
	if f.wait {
		return p.await(ctx, handle, begun, f.timeout.d)
	}
	if p.json {
		return p.document(map[string]any{"id": handle.ID(), "task": args[0], "duplicate": handle.Duplicate()})
	}
	if handle.Duplicate() {
		p.printf("%s  duplicate: a task of this id exists; nothing was enqueued\n", handle.ID())
		return nil
	}
	p.printf("%s\n", handle.ID())
	return nil
}

// refusal gives an enqueue error its exit code: wrong input, or a store that failed; and says what to do when that leaves it open whether
// the task is there.
func refusal(err error) error {
	var option *stem.OptionError
	var size *stem.SizeError
	if errors.As(err, &option) || errors.As(err, &size) {
		return &exitError{exitUsage, err}
	}
	var open *stem.UnconfirmedError
	if errors.As(err, &open) {
		return fmt.Errorf("%w; stem task status %s says whether it was, and the same command with --id %s enqueues it if not", err, open.ID, open.ID)
	}
	return err
}

// checkerFor refuses a name that no live plugin declares, unless forced.
func (p *program) checkerFor(ctx context.Context, client *stem.Client, name string, force bool) (*checker, error) {
	declared, err := client.Declared(ctx)
	if errors.Is(err, stem.ErrUnreachable) {
		if force {
			return &checker{task: name}, nil
		}
		err = fmt.Errorf("%w. What plugins declare lies there: --force enqueues the task without a look at it", err)
	}
	if err != nil {
		return nil, err
	}
	spec, ok := declared[name]
	switch {
	case ok:
		return newChecker(spec)
	case force:
		return &checker{task: name}, nil
	case len(declared) == 0:
		return nil, usageError("no plugin declares %q: no daemon is running here. Start one, or use --force to enqueue anyway: it will be parked until a plugin declares it", name)
	}
	return nil, usageError("no plugin declares %q%s Use --force to enqueue anyway: it will be parked until one does.", name,
		strings.TrimSuffix(strings.Replace(didYouMean(name, slices.Sorted(maps.Keys(declared))), " (", "; ", 1), ")"))
}

// await waits for the end of a task and prints it.
func (p *program) await(ctx context.Context, handle *stem.Handle, begun time.Time, timeout time.Duration) error {
	if timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, timeout)
		defer stop()
	}
	s, err := handle.Wait(ctx)
	if errors.Is(err, context.DeadlineExceeded) && s.State == "" {
		return notFound("nothing was heard of task %s for %s: gave up waiting, the task goes on. stem task status %s looks again", handle.ID(), timeout, handle.ID())
	} else if errors.Is(err, context.DeadlineExceeded) {
		return notFound("task %s is %s after %s: gave up waiting, the task goes on", handle.ID(), s.State, timeout)
	} else if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: the task goes on. stem task wait %s waits again", handle.ID())
	} else if err != nil {
		return err
	}
	if p.json {
		if err := p.document(statusDocument(s)); err != nil {
			return err
		}
	} else if err := p.ended(s, begun); err != nil {
		return err
	}
	if s.State != stem.Succeeded {
		return &exitError{exitRuntime, errors.New("")}
	}
	return nil
}

// ended prints a terminal status in two lines.
func (p *program) ended(s stem.Status, begun time.Time) error {
	took := time.Since(begun)
	if !s.StartedAt.IsZero() && !s.FinishedAt.IsZero() {
		took = s.FinishedAt.Sub(s.StartedAt)
	}
	p.printf("%s  %s in %s", s.ID, s.State, ago(took))
	if wait := s.StartedAt.Sub(s.EnqueuedAt); !s.StartedAt.IsZero() && s.Attempt == 0 {
		p.printf(" (waited %s)", ago(wait))
	} else if s.Attempt > 0 {
		p.printf(" (attempt %d)", s.Attempt+1)
	}
	p.printf("\n")
	if s.Error != nil {
		_, err := fmt.Fprintf(p.stderr, "%s: %s\n", s.Error.Class, s.Error.Message)
		return err
	}
	if len(s.Result) > 0 {
		p.printf("%s\n", s.Result)
	}
	return nil
}
