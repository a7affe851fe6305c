package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/config"
)

// document prints v as one JSON document.
func (p *program) document(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints rows in columns; a cell is never cut.
func (p *program) table(header []string, rows [][]string) error {
	return p.rows(append([][]string{header}, rows...))
}

// rows prints rows in columns, without a header and without blanks at the end of lines.
func (p *program) rows(rows [][]string) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		p.printf("%s\n", strings.TrimRight(line, " \n"))
	}
	return nil
}

func (p *program) printf(format string, args ...any) {
	fmt.Fprintf(p.stdout, format, args...)
}

// statusJSON is a status as programs read it: the result as it is, when it is JSON.
type statusJSON struct {
	stem.Status
	Payload any `json:"payload,omitempty"`
}

func statusDocument(s stem.Status) statusJSON {
	d := statusJSON{Status: s}
	switch {
	case len(s.Result) == 0:
	case json.Valid(s.Result):
		d.Payload = json.RawMessage(s.Result)
	default:
		d.Payload = s.Result
	}
	return d
}

// thousands groups the digits of a count for people.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ago is how long something took or is old, in at most two units.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// duration is a flag of type "5m" or "7d".
type duration struct{ d time.Duration }

func (d *duration) String() string {
	if d.d == 0 {
		return ""
	}
	return d.d.String()
}

func (d *duration) Set(s string) (err error) { d.d, err = config.ParseDuration(s); return err }
func (d *duration) Type() string             { return "duration" }

// moment is a flag of type ISO 8601.
type moment struct{ t time.Time }

func (m *moment) String() string {
	if m.t.IsZero() {
		return ""
	}
	return m.t.Format(time.RFC3339)
}

func (m *moment) Set(s string) error {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			m.t = t
			return nil
		}
	}
	return fmt.Errorf("invalid time %q: use ISO-8601 format, 2026-11-24T12:04:05Z", s)
}
func (m *moment) Type() string { return "time" }

// number is a flag of a whole number between bounds: one that is out of them is refused and never quietly made to fit.
type number struct {
	n           *int
	least, most int
}

func (v number) String() string {
	if v.n == nil {
		return ""
	}
	return strconv.Itoa(*v.n)
}

func (v number) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < v.least || n > v.most {
		if v.most == math.MaxInt {
			return fmt.Errorf("want a whole number of at least %d", v.least)
		}
		return fmt.Errorf("want a whole number from %d to %d", v.least, v.most)
	}
	*v.n = n
	return nil
}
func (v number) Type() string { return "int" }

// oneLine is a text for a cell.
func oneLine(s string, limit int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}
