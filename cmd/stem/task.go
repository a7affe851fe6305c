package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
)

func (p *program) taskCommand() *cobra.Command {
	return group("task", "One task: status, show, bundle, wait, cancel; or a list", p.taskStatusCommand(), p.taskShowCommand(), p.taskBundleCommand(),
		p.taskListCommand(), p.taskWaitCommand(), p.taskCancelCommand())
}

func (p *program) taskStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status ID", Short: "Show what is known of a task", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withStore(cmd.Context(), false, func(store stem.Store) error {
				s, err := p.find(cmd.Context(), stem.NewClient(store), args[0])
				if err != nil {
					return err
				}
				if p.json {
					return p.document(statusDocument(s))
				}
				return p.describe(s)
			})
		},
	}
}

// listMax is the most items of one list.
const listMax = 1000

// prefixMin is the shortest part of an id that is looked for.
const prefixMin = 8

// find looks a task up by its id or by the beginning of it, among the thousand latest.
func (p *program) find(ctx context.Context, client *stem.Client, id string) (stem.Status, error) {
	s, err := client.Status(ctx, id)
	if err == nil || !errors.Is(err, stem.ErrNotFound) {
		return s, err
	}
	if len(id) < prefixMin {
		return s, notFound("no task %s is known here", id)
	}
	page, err := client.List(ctx, stem.StatusQuery{Limit: listMax})
	if err != nil {
		return s, err
	}
	var found []stem.Status
	for _, item := range page.Items {
		if strings.HasPrefix(item.ID, id) {
			found = append(found, item)
		}
	}
	switch {
	case len(found) == 0 && page.Next != "":
		return s, notFound("no task %s is known here, nor is it how one of the %d that changed last begins: it never was, its result has expired, or its whole id is needed", id, listMax)
	case len(found) == 0:
		return s, notFound("no task %s is known here: it never was, or its result has expired", id)
	case len(found) == 1:
		return found[0], nil
	}
	return s, usageError("%d tasks begin with %s: give more of the id", len(found), id)
}

// describe prints a status for people; attempts count from 1.
func (p *program) describe(s stem.Status) error {
	p.printf("%s   %s   queue %s   priority %d   enqueued %s\n", s.Name, s.State, s.Queue, s.Priority, stamp(s.EnqueuedAt))
	p.printf("  id        %s\n", s.ID)
	p.printf("  attempt   %d\n", s.Attempt+1)
	if s.Worker != "" {
		p.printf("  worker    %s\n", s.Worker)
	}
	if !s.StartedAt.IsZero() {
		p.printf("  started   %s (waited %s)\n", stamp(s.StartedAt), ago(s.StartedAt.Sub(s.EnqueuedAt)))
	}
	if !s.FinishedAt.IsZero() {
		p.printf("  finished  %s (ran %s)\n", stamp(s.FinishedAt), ago(s.FinishedAt.Sub(s.StartedAt)))
	}
	if !s.DueAt.IsZero() && !s.State.Terminal() {
		p.printf("  due       %s (in %s)\n", stamp(s.DueAt), ago(time.Until(s.DueAt)))
	}
	if s.ParentID != "" {
		p.printf("  parent    %s\n", s.ParentID)
	}
	if progress, ok := s.Meta["progress"]; ok {
		p.printf("  progress  %s\n", progress)
	}
	if e := s.Error; e != nil {
		p.printf("  %-9s %s\n", e.Class, indent(e.Message))
		if e.Stack != "" {
			p.printf("  stack     %s\n", indent(e.Stack))
		}
	}
	if len(s.Result) > 0 {
		p.printf("  result    %s\n", s.Result)
	}
	if s.State == stem.Failed {
		p.printf("run it again: stem dlq replay --id %s\n", s.ID)
	}
	return nil
}

func indent(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n            ")
}

func (p *program) taskListCommand() *cobra.Command {
	var q stem.StatusQuery
	var state string
	cmd := &cobra.Command{
		Use: "list", Short: "List tasks, newest change first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.State = stem.TaskState(state); state != "" && !validState(q.State) {
				return usageError("--state %q: want queued, running, retried, succeeded, failed or cancelled", state)
			}
			return p.withStore(cmd.Context(), false, func(store stem.Store) error { return p.list(cmd.Context(), store, q) })
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&state, "state", "", "only this state")
	fl.StringVarP(&q.Queue, "queue", "q", "", "only this queue")
	fl.StringVarP(&q.Name, "task", "t", "", "only this task name")
	q.Limit = 50
	fl.VarP(number{&q.Limit, 1, listMax}, "limit", "l", "how many, at most 1000")
	fl.StringVar(&q.Cursor, "cursor", "", "go on where a list ended")
	return cmd
}

func validState(s stem.TaskState) bool {
	return s == stem.Queued || s == stem.Running || s == stem.Retried || s.Terminal()
}

func (p *program) list(ctx context.Context, store stem.Store, q stem.StatusQuery) error {
	page, missing := store.Results.List(ctx, q)
	if nothing(missing, len(page.Items)) {
		return refusal(missing)
	}
	if p.json {
		items := make([]statusJSON, 0, len(page.Items))
		for _, s := range page.Items {
			items = append(items, statusDocument(s))
		}
		return errors.Join(p.document(map[string]any{"items": items, "next": page.Next}), missing)
	}
	if len(page.Items) == 0 {
		p.printf("No tasks.\n")
		return nil
	}
	rows := make([][]string, 0, len(page.Items))
	for _, s := range page.Items {
		why := ""
		if s.Error != nil {
			why = oneLine(s.Error.Message, 60)
		}
		rows = append(rows, []string{s.ID, s.Name, s.Queue, string(s.State), fmt.Sprint(s.Attempt + 1), ago(time.Since(s.UpdatedAt)) + " ago", why})
	}
	if err := p.table([]string{"ID", "TASK", "QUEUE", "STATE", "ATTEMPT", "CHANGED", ""}, rows); err != nil {
		return err
	}
	if page.Next != "" {
		p.printf("more: --cursor %s\n", page.Next)
	}
	return missing
}

func (p *program) taskWaitCommand() *cobra.Command {
	var timeout duration
	cmd := &cobra.Command{
		Use: "wait ID", Short: "Wait for the end of a task and print its result", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withStore(cmd.Context(), false, func(store stem.Store) error {
				client := stem.NewClient(store)
				s, err := p.find(cmd.Context(), client, args[0])
				if err != nil {
					return err
				}
				return p.await(cmd.Context(), client.Handle(s.ID), time.Now(), timeout.d)
			})
		},
	}
	cmd.Flags().Var(&timeout, "timeout", "longest wait (default: for ever)")
	return cmd
}

func (p *program) taskCancelCommand() *cobra.Command {
	var o stem.CancelOptions
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "Cancel a task: it does not run (again)", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withStore(cmd.Context(), false, func(store stem.Store) error {
				client := stem.NewClient(store)
				s, err := p.find(cmd.Context(), client, args[0])
				if err != nil {
					return err
				}
				if s.State.Terminal() {
					return usageError("task %s has ended already: it %s", s.ID, map[stem.TaskState]string{
						stem.Succeeded: "succeeded", stem.Failed: "failed", stem.Cancelled: "was cancelled",
					}[s.State])
				}
				if err := client.Cancel(cmd.Context(), s.ID, o); err != nil {
					return refusal(err)
				}
				if p.json {
					return p.document(map[string]any{"id": s.ID, "cancelled": true, "was": s.State})
				}
				switch {
				case s.State != stem.Running:
					p.printf("%s will not run\n", s.ID)
				case o.Force:
					p.printf("%s is being killed\n", s.ID)
				case o.Terminate:
					p.printf("%s is told to stop; --force kills it\n", s.ID)
				default:
					p.printf("%s runs already and goes on, but is not retried; --terminate stops it\n", s.ID)
				}
				return nil
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&o.Terminate, "terminate", false, "also tell a running handler to stop")
	fl.BoolVar(&o.Force, "force", false, "also kill its process")
	fl.StringVar(&o.Reason, "reason", "", "why, kept with the task")
	fl.StringVar(&o.Requester, "requester", "", "who (default: stem@host)")
	return cmd
}
