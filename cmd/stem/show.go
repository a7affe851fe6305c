package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
)

// taskFile is everything that is kept of a task.
type taskFile struct {
	status   stem.Status
	attempts []stem.Evidence
	dead     *stem.DeadLetter
}

func (p *program) taskFile(ctx context.Context, store stem.Store, id string) (f taskFile, err error) {
	if f.status, err = p.find(ctx, stem.NewClient(store), id); err != nil {
		return f, err
	}
	if f.attempts, err = stem.EvidenceOf(ctx, store, f.status.ID); err != nil {
		return f, err
	}
	inspector, err := inspectorOf(store)
	if err != nil {
		return f, err
	}
	page, err := inspector.DeadLetters(ctx, stem.DeadLetterQuery{IDs: []string{f.status.ID}, Limit: 1})
	if err != nil {
		return f, err
	}
	if len(page.Items) > 0 {
		f.dead = &page.Items[0]
	}
	return f, nil
}

// attemptJSON is an attempt as programs read it.
type attemptJSON struct {
	stem.Evidence
	Stderr string `json:"stderr,omitempty"`
	Stack  string `json:"stack,omitempty"`
}

func attemptDocument(e stem.Evidence) attemptJSON {
	doc := attemptJSON{Evidence: e}
	if e.Output != nil {
		doc.Stderr, doc.Stack = e.Output.Stderr, e.Output.Stack
	}
	return doc
}

// document leaves the arguments out: they may be secret.
func (f taskFile) document() map[string]any {
	attempts := make([]attemptJSON, 0, len(f.attempts))
	for _, e := range f.attempts {
		attempts = append(attempts, attemptDocument(e))
	}
	doc := map[string]any{"status": statusDocument(f.status), "attempts": attempts}
	if f.dead != nil {
		dead := deadDocumentOf(*f.dead)
		dead.Args = nil
		doc["deadLetter"] = dead
	}
	return doc
}

func (p *program) taskShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Explain a task: every attempt that did not end well, with its evidence", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withStore(cmd.Context(), false, func(store stem.Store) error {
				f, err := p.taskFile(cmd.Context(), store, args[0])
				if err != nil {
					return err
				}
				if p.json {
					return p.document(f.document())
				}
				p.show(f)
				return nil
			})
		},
	}
}

// show explains a task to a person; attempts count from 1.
func (p *program) show(f taskFile) {
	s := f.status
	by := ""
	if f.dead != nil {
		if h, err := stem.DecodeHeader(f.dead.Message.Envelope.Header); err == nil && h.Producer != "" {
			by = " by " + h.Producer
		}
	}
	p.printf("%s   %s   queue %s   priority %d   enqueued %s%s\n", s.Name, s.State, s.Queue, s.Priority, stamp(s.EnqueuedAt), by)
	p.printf("  id         %s\n", s.ID)
	for i, e := range f.attempts {
		if i > 0 && e.Replays > f.attempts[i-1].Replays {
			p.printf("  replayed\n")
		}
		p.showAttempt(e)
	}
	switch {
	case f.dead != nil:
		p.printf("dead letter since %s (%s)   stem dlq replay --id %s runs it again\n", stamp(f.dead.DeadAt), f.dead.Reason, s.ID)
	case s.State == stem.Retried:
		p.printf("attempt %d is due %s (in %s)\n", s.Attempt+1, stamp(s.DueAt), ago(time.Until(s.DueAt)))
	case s.State == stem.Succeeded:
		p.printf("succeeded at %s, attempt %d\n", stamp(s.FinishedAt), s.Attempt+1)
	}
	if len(f.attempts) > 0 {
		p.printf("stem task bundle %s puts all of it into a file\n", s.ID)
	}
}

const margin = "\n             "

func (p *program) showAttempt(e stem.Evidence) {
	what := string(e.Class)
	switch {
	case e.Signal != "":
		what += " " + e.Signal
	case e.ExitCode != nil:
		what += fmt.Sprintf(" status %d", *e.ExitCode)
	}
	message := ""
	if e.Error != nil {
		message, _, _ = strings.Cut(e.Error.Message, "\n")
		message = strings.TrimSuffix(message, "; last words:")
	}
	if !e.KilledAt.IsZero() && e.EndedAt.After(e.KilledAt) {
		message += fmt.Sprintf(" (dead in %s)", ago(e.EndedAt.Sub(e.KilledAt)))
	}
	if !e.Counted {
		message += ", not counted"
	}
	p.printf("  attempt %-2d %s  %s   %s", e.Attempt+1, stamp(e.StartedAt), what, message)
	if stack := stackOf(e); stack != "" {
		p.printf("%sstack  %s", margin, keyFrame(stack))
	}
	if facts := facts(e); len(facts) > 0 {
		p.printf("%s%s", margin, strings.Join(facts, "   "))
	}
	if words := lastLines(e, 3); len(words) > 0 {
		p.printf("%sstderr %s", margin, strings.Join(words, margin+"       "))
	}
	p.printf("\n")
}

// facts are the figures of an attempt.
func facts(e stem.Evidence) []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if !e.EndedAt.IsZero() {
		add("ran %s", ago(e.EndedAt.Sub(e.StartedAt)))
	}
	if e.PeakRSS > 0 {
		add("rss peak %d MiB", e.PeakRSS>>20)
	}
	if e.CPU > 0 {
		add("cpu %.2f s", e.CPU)
	}
	if len(e.Progress) > 0 {
		add("progress %s", oneLine(string(e.Progress), 60))
	}
	switch {
	case e.Stderr+e.Stack == 0:
	case e.Output == nil:
		add("stderr and stack dropped for newer ones")
	case e.Stderr > 0:
		if n := strings.Count(strings.TrimRight(e.Output.Stderr, "\n"), "\n") + 1; n > 1 {
			add("stderr %s lines", thousands(n))
		}
	}
	if e.Plugin != "" {
		build := strings.TrimSpace(e.Plugin + " " + e.Version)
		if len(e.SHA256) > 8 {
			build += " sha256 " + e.SHA256[:8] + "…"
		}
		add("plugin %s", build)
	}
	add("on %s", e.Worker)
	return list
}

func stackOf(e stem.Evidence) string {
	if e.Output != nil && e.Output.Stack != "" {
		return e.Output.Stack
	}
	if e.Error != nil {
		return e.Error.Stack
	}
	return ""
}

// lastLines are the last lines of stderr.
func lastLines(e stem.Evidence, n int) []string {
	if e.Output == nil || strings.TrimSpace(e.Output.Stderr) == "" {
		return nil
	}
	lines := strings.Split(strings.TrimRight(e.Output.Stderr, "\n"), "\n")
	lines = lines[max(len(lines)-n, 0):]
	for i, line := range lines {
		lines[i] = oneLine(line, 120)
	}
	return lines
}

// machinery begins the names of functions that are not the handler's own.
var machinery = []string{
	"runtime.", "runtime/", "panic(", "internal/", "sync.", "syscall.", "time.", "os.", "os/", "net.", "net/", "io.", "bufio.", "golang.org/", "google.golang.org/",
	"github.com/hashicorp/", "github.com/stemd/stem/plugin/sdk", "created by ", "goroutine ", "main.main(",
}

// handlerCall is in the stack of each goroutine that runs a handler.
const handlerCall = "plugin/sdk.(*run).invoke("

// keyFrame is the line of a Go stack that most likely is the handler's: the first function that belongs to neither the runtime nor
// the SDK, with its goroutine.
func keyFrame(stack string) string {
	first := ""
	blocks := strings.Split(stack, "\n\n")
	slices.SortStableFunc(blocks, func(a, b string) int { // those that run a handler before the others
		return strings.Count(b, handlerCall) - strings.Count(a, handlerCall)
	})
	for _, block := range blocks {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "goroutine ") {
				first, lines = line, lines[i:]
				break
			}
		}
		for i := 1; i+1 < len(lines); i += 2 {
			if !ours(lines[i]) {
				continue
			}
			at, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " ")
			name := lines[i]
			if open := strings.LastIndex(name, "("); open > 0 {
				name = name[:open] + "(…)"
			}
			return fmt.Sprintf("%s %s %s", brief(lines[0]), name, at)
		}
	}
	return oneLine(brief(first), 100)
}

// brief leaves the addresses out of a goroutine's title.
func brief(title string) string {
	before, state, ok := strings.Cut(title, "[")
	fields := strings.Fields(before)
	if !ok || len(fields) < 2 {
		return title
	}
	return fields[0] + " " + fields[1] + " [" + state
}

func ours(function string) bool {
	for _, prefix := range machinery {
		if strings.HasPrefix(function, prefix) {
			return false
		}
	}
	return function != "" && function[0] != '\t' && function[0] != ' '
}

func jsonText(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}
