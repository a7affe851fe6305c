package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
)

func (p *program) dlqCommand() *cobra.Command {
	return group("dlq", "Dead letters: list, show, replay, purge", p.dlqListCommand(), p.dlqShowCommand(), p.dlqReplayCommand(), p.dlqPurgeCommand())
}

// deadFlags are the flags that select dead letters.
type deadFlags struct {
	q     stem.DeadLetterQuery
	since moment
}

func (f *deadFlags) add(cmd *cobra.Command, limit int) {
	fl := cmd.Flags()
	fl.StringVarP(&f.q.Queue, "queue", "q", "", "only this queue")
	fl.StringArrayVar(&f.q.IDs, "id", nil, "only this task, may be repeated")
	fl.Var(&f.since, "since", "only what died at or after this time (ISO-8601)")
	f.q.Limit = limit
	fl.VarP(number{&f.q.Limit, 1, listMax}, "limit", "l", "how many, newest first")
}

func (f *deadFlags) query() stem.DeadLetterQuery {
	q := f.q
	q.Since = f.since.t
	return q
}

// deadDocument is a dead letter as programs read it.
type deadDocument struct {
	ID       string                     `json:"id"`
	Task     string                     `json:"task"`
	Queue    string                     `json:"queue"`
	Reason   string                     `json:"reason"`
	DeadAt   time.Time                  `json:"deadAt"`
	Attempts int                        `json:"attempts"`
	Error    *stem.TaskError            `json:"error,omitempty"`
	Args     any                        `json:"args,omitempty"`
	Headers  map[string]string          `json:"headers,omitempty"`
	Meta     map[string]json.RawMessage `json:"meta,omitempty"`
}

func deadDocumentOf(d stem.DeadLetter) deadDocument {
	doc := deadDocument{
		ID: d.Message.ID, Task: d.Message.Name, Queue: d.Message.Queue, Reason: d.Reason, DeadAt: d.DeadAt,
		Attempts: d.Message.State.Attempt + 1, Error: d.Error,
	}
	if h, err := stem.DecodeHeader(d.Message.Envelope.Header); err == nil {
		doc.Headers, doc.Meta = h.Headers, h.Meta
	}
	if body := d.Message.Envelope.Body; json.Valid(body) {
		doc.Args = json.RawMessage(body)
	}
	return doc
}

func deadDocuments(ds []stem.DeadLetter) []deadDocument {
	docs := make([]deadDocument, 0, len(ds))
	for _, d := range ds {
		docs = append(docs, deadDocumentOf(d))
	}
	return docs
}

func why(d stem.DeadLetter) string {
	if d.Error == nil {
		return ""
	}
	return oneLine(d.Error.Message, 80)
}

func (p *program) dlqListCommand() *cobra.Command {
	var f deadFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withDead(cmd.Context(), func(inspector stem.Inspector) error {
				page, missing := inspector.DeadLetters(cmd.Context(), f.query())
				if nothing(missing, len(page.Items)) {
					return missing
				}
				if p.json {
					return errors.Join(p.document(map[string]any{"items": deadDocuments(page.Items), "more": page.More}), missing)
				}
				if len(page.Items) == 0 {
					p.printf("Dead letter queue is empty.\n")
					return nil
				}
				rows := make([][]string, 0, len(page.Items))
				for _, d := range page.Items {
					rows = append(rows, []string{d.Message.ID, d.Message.Name, d.Message.Queue, fmt.Sprint(d.Message.State.Attempt + 1), stamp(d.DeadAt), d.Reason, why(d)})
				}
				if err := p.table([]string{"ID", "TASK", "QUEUE", "ATTEMPTS", "DEAD AT", "REASON", "ERROR"}, rows); err != nil {
					return err
				}
				if page.More {
					p.printf("More entries available. Try --offset %d.\n", f.q.Offset+len(page.Items))
				}
				return missing
			})
		},
	}
	f.add(cmd, 50)
	cmd.Flags().Var(number{&f.q.Offset, 0, math.MaxInt}, "offset", "leave out the newest so many")
	return cmd
}

func (p *program) withDead(ctx context.Context, fn func(stem.Inspector) error) error {
	return p.withStore(ctx, false, func(store stem.Store) error {
		inspector, err := inspectorOf(store)
		if err != nil {
			return err
		}
		return fn(inspector)
	})
}

// whole completes ids of which only the beginning was given, among the latest dead letters, and names one that is none.
func whole(ctx context.Context, inspector stem.Inspector, ids []string) ([]string, error) {
	out := make([]string, 0, len(ids))
	for _, id := range ids {
		page, err := inspector.DeadLetters(ctx, stem.DeadLetterQuery{IDs: []string{id}, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(page.Items) == 0 && len(id) >= prefixMin {
			if page, err = inspector.DeadLetters(ctx, stem.DeadLetterQuery{Limit: listMax}); err != nil {
				return nil, err
			}
			page.Items = slices.DeleteFunc(page.Items, func(d stem.DeadLetter) bool { return !strings.HasPrefix(d.Message.ID, id) })
		}
		switch len(page.Items) {
		case 0:
			return nil, notFound("no dead letter %s is kept here", id)
		case 1:
			out = append(out, page.Items[0].Message.ID)
		default:
			return nil, usageError("%d dead letters begin with %s: give more of the id", len(page.Items), id)
		}
	}
	return out, nil
}

func (p *program) dlqShowCommand() *cobra.Command {
	var f deadFlags
	cmd := &cobra.Command{
		Use: "show --id ID", Short: "Show one dead letter whole", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.q.IDs = append(f.q.IDs, args...)
			if len(f.q.IDs) != 1 {
				return usageError("dlq show wants one --id")
			}
			return p.withDead(cmd.Context(), func(inspector stem.Inspector) (err error) {
				if f.q.IDs, err = whole(cmd.Context(), inspector, f.q.IDs); err != nil {
					return err
				}
				page, err := inspector.DeadLetters(cmd.Context(), f.query())
				if err != nil {
					return err
				}
				if len(page.Items) == 0 {
					return notFound("no dead letter %s is kept here", f.q.IDs[0])
				}
				return p.document(deadDocumentOf(page.Items[0]))
			})
		},
	}
	f.add(cmd, 1)
	return cmd
}

func (p *program) dlqReplayCommand() *cobra.Command {
	var f deadFlags
	var r stem.Replay
	var delay duration
	var yes bool
	cmd := &cobra.Command{
		Use: "replay", Short: "Run dead letters again, from their first attempt", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.DeadLetterQuery, r.Delay = f.query(), delay.d
			if f.q.Queue == "" && len(f.q.IDs) == 0 {
				return usageError("dlq replay wants --queue or --id")
			}
			return p.withDead(cmd.Context(), func(inspector stem.Inspector) error {
				var err error
				if r.IDs, err = whole(cmd.Context(), inspector, r.IDs); err != nil {
					return err
				}
				plan := r
				plan.DryRun = true
				found, err := inspector.Replay(cmd.Context(), plan)
				if err != nil {
					return err
				}
				if r.DryRun || len(found) == 0 {
					return p.replayed(found, r.DryRun)
				}
				if err := p.confirm(yes, "replay %s", plural(len(found), "dead letter")); err != nil {
					return err
				}
				done, err := inspector.Replay(cmd.Context(), r)
				if err != nil {
					return err
				}
				return p.replayed(done, false)
			})
		},
	}
	f.add(cmd, 10)
	fl := cmd.Flags()
	fl.Var(&delay, "delay", "not before this long from now")
	fl.BoolVar(&r.DryRun, "dry-run", false, "change nothing, say what would be replayed")
	fl.BoolVarP(&yes, "yes", "y", false, "do not ask")
	fl.BoolVar(&yes, "confirm", false, "the same as --yes")
	return cmd
}

// replayed prints what a replay did, ten lines of it.
func (p *program) replayed(rs []stem.Replayed, dry bool) error {
	failed := 0
	type item struct {
		deadDocument
		Failed string `json:"failed,omitempty"`
	}
	items := make([]item, 0, len(rs))
	for _, r := range rs {
		it := item{deadDocument: deadDocumentOf(r.DeadLetter)}
		if r.Err != nil {
			failed++
			it.Failed = r.Err.Error()
		}
		items = append(items, it)
	}
	switch {
	case p.json:
		if err := p.document(map[string]any{"dryRun": dry, "entries": items}); err != nil {
			return err
		}
	default:
		verb := "Replayed"
		if dry {
			verb = "Would replay"
		}
		p.printf("%s %s.\n", verb, plural(len(rs)-failed, "dead letter"))
		for i, it := range items {
			if i == 10 {
				p.printf("  … and %d more\n", len(items)-10)
				break
			}
			p.printf("  %s  %s  %s  %s\n", it.ID, it.Task, it.Reason, it.Failed)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d could not be replayed", failed, len(rs))
	}
	return nil
}

func (p *program) dlqPurgeCommand() *cobra.Command {
	var f deadFlags
	var yes bool
	cmd := &cobra.Command{
		Use: "purge", Short: "Delete dead letters for good", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.q.Queue == "" && len(f.q.IDs) == 0 {
				return usageError("dlq purge wants --queue or --id")
			}
			return p.withDead(cmd.Context(), func(inspector stem.Inspector) error {
				var err error
				if f.q.IDs, err = whole(cmd.Context(), inspector, f.q.IDs); err != nil {
					return err
				}
				what := "every dead letter of queue " + f.q.Queue
				if len(f.q.IDs) > 0 {
					what = plural(len(f.q.IDs), "dead letter")
				}
				if err := p.confirm(yes, "delete %s", what); err != nil {
					return err
				}
				n, err := inspector.PurgeDeadLetters(cmd.Context(), f.query())
				if err != nil {
					return err
				}
				if p.json {
					return p.document(map[string]int{"purged": n})
				}
				p.printf("Purged %s.\n", plural(n, "dead letter"))
				return nil
			})
		},
	}
	f.add(cmd, 0)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// confirm asks a person; where there is none, --yes must have been given.
func (p *program) confirm(yes bool, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if yes {
		return nil
	}
	if !p.terminal {
		return usageError("to %s, give --yes", what)
	}
	fmt.Fprintf(p.stderr, "%s? [y/N] ", what)
	var answer string
	_, _ = fmt.Fscanln(p.stdin, &answer) // no answer is a no
	if answer != "y" && answer != "yes" {
		return usageError("nothing was done")
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}
