package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
)

// Diagnostics is everything that is wrong with a configuration. Its text is for people: a line of what and where for each, with
// the source below it.
type Diagnostics []Diagnostic

// Diagnostic is one complaint.
type Diagnostic struct {
	At      string // "stem.hcl:14,3-15"
	Message string
	Source  string // the line; empty: none
	Line    int
}

func (ds Diagnostics) Error() string {
	var b strings.Builder
	for i, d := range ds {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(d.Error())
	}
	return b.String()
}

func (d Diagnostic) Error() string {
	s := d.Message
	if d.At != "" {
		s = d.At + ": " + s
	}
	if d.Source != "" {
		s += fmt.Sprintf("\n  %d │ %s", d.Line, d.Source)
	}
	return s
}

// position is where something was written.
type position struct {
	file string
	line int
}

func (p position) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

func positionOf(r hcl.Range) position { return position{r.Filename, r.Start.Line} }

// complain adds a complaint about a range of source.
func (l *loader) complain(r hcl.Range, format string, args ...any) {
	at := fmt.Sprintf("%s:%d,%d-%d", r.Filename, r.Start.Line, r.Start.Column, r.End.Column)
	if r.End.Line != r.Start.Line {
		at = fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
	}
	l.diags = append(l.diags, Diagnostic{
		At: at, Message: fmt.Sprintf(format, args...), Source: l.line(r.Filename, r.Start.Line), Line: r.Start.Line,
	})
}

// adopt adds HCL's own complaints.
func (l *loader) adopt(diags hcl.Diagnostics) {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		text := strings.TrimSuffix(d.Summary, ".")
		if d.Detail != "" {
			text += ": " + strings.TrimSuffix(d.Detail, ".")
		}
		if _, why, ours := strings.Cut(text, "\" failed: "); ours && d.Summary == "Error in function call" {
			text = why
		}
		if d.Subject == nil {
			l.diags = append(l.diags, Diagnostic{Message: text})
			continue
		}
		l.complain(*d.Subject, "%s", text)
	}
}

// line is a line of source without what looks like a secret.
func (l *loader) line(file string, n int) string {
	lines := strings.Split(string(l.sources[file]), "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return hide(strings.TrimRight(lines[n-1], "\r"))
}

// hint is "; did you mean …?" when a known name is near.
func hint(name string, known []string) string {
	best, distance := "", 3
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := levenshtein.Distance(name, k, nil); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
