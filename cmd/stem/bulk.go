package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"github.com/stemd/stem"
)

// bulkBatch is how many lines are enqueued at a time.
const bulkBatch = 500

// bulkResult is what became of one line.
type bulkResult struct {
	Line      int    `json:"line"`
	ID        string `json:"id,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
	Unknown   bool   `json:"unknown,omitempty"` // whether it was enqueued; ID is the id to repeat it with
	Error     string `json:"error,omitempty"`
}

// bulk enqueues one task for each line. A line that is wrong does not keep the others back: it is named, and the exit code says
// that there was one. A store that fails ends it.
func (p *program) bulk(ctx context.Context, client *stem.Client, check *checker, path string, opts []stem.Option) error {
	in, size, err := p.openBulk(path)
	if err != nil {
		return err
	}
	defer in.Close()
	bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(p.stderr), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("enqueueing"), progressbar.OptionSetVisibility(p.progress), progressbar.OptionClearOnFinish())
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), stem.MaxMessage+1)

	var results []bulkResult
	var batch []bulkResult
	var calls []stem.Call
	flush := func() error {
		outcomes, err := client.EnqueueMany(ctx, calls...)
		next := 0
		for _, r := range batch {
			if r.Error == "" {
				o := outcomes[next]
				next++
				if r.ID, r.Duplicate = o.ID, o.Duplicate; o.Err != nil {
					var open *stem.UnconfirmedError
					r.Unknown, r.Error = errors.As(o.Err, &open), o.Err.Error()
				}
			}
			results = append(results, r)
		}
		batch, calls = batch[:0], calls[:0]
		return err
	}
	n := 0
	for lines.Scan() {
		n++
		raw := bytes.TrimSpace(lines.Bytes())
		_ = bar.Add(len(lines.Bytes()) + 1) // only a picture
		if len(raw) == 0 {
			continue
		}
		r := bulkResult{Line: n}
		args := json.RawMessage(bytes.Clone(raw))
		err := checkJSON(args)
		if err == nil {
			err = check.check(args)
		}
		if err != nil {
			r.Error = err.Error()
		} else {
			calls = append(calls, stem.Call{Name: check.task, Args: args, Options: opts})
		}
		if batch = append(batch, r); len(batch) == bulkBatch {
			if err := flush(); err != nil {
				return errors.Join(p.reportBulk(check.task, results), fmt.Errorf("%w; nothing after line %d was enqueued", err, n))
			}
		}
	}
	err = flush()
	_ = bar.Finish()
	if scan := lines.Err(); errors.Is(scan, bufio.ErrTooLong) {
		err = errors.Join(err, usageError("line %d is over %d bytes; nothing from there on was enqueued", n+1, stem.MaxMessage))
	} else if scan != nil {
		err = errors.Join(err, fmt.Errorf("line %d: %w", n+1, scan))
	}
	return errors.Join(p.reportBulk(check.task, results), err)
}

func (p *program) openBulk(path string) (io.ReadCloser, int64, error) {
	if path == "-" {
		return io.NopCloser(p.stdin), -1, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, usageError("--bulk: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(usageError("--bulk: %w", err), f.Close())
	}
	return f, st.Size(), nil
}

// reportBulk prints the ids, the lines that were refused or may be, and a summary.
func (p *program) reportBulk(task string, results []bulkResult) error {
	enqueued, duplicates, refused, unknown := 0, 0, 0, 0
	for _, r := range results {
		switch {
		case r.Unknown:
			unknown++
		case r.Error != "":
			refused++
		case r.Duplicate:
			duplicates++
		default:
			enqueued++
		}
	}
	if p.json {
		if err := p.document(map[string]any{"enqueued": enqueued, "duplicates": duplicates, "refused": refused, "unknown": unknown, "lines": results}); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			if r.Error != "" {
				fmt.Fprintf(p.stderr, "line %d: %s\n", r.Line, r.Error)
			}
		}
		p.printf("enqueued %s, duplicates %s, refused %s", thousands(enqueued), thousands(duplicates), thousands(refused))
		if unknown > 0 {
			p.printf(", not known %s", thousands(unknown))
		}
		p.printf("\n")
	}
	if unknown > 0 {
		return &exitError{exitRuntime, fmt.Errorf("whether %d of %d lines were enqueued is not known, and the whole file again would run those twice that were: "+
			"stem task status ID knows those, and stem enqueue %s ARGS --id ID, with the same options, enqueues one of the others", unknown, len(results), task)}
	}
	if refused > 0 {
		return usageError("%d of %d lines were refused", refused, len(results))
	}
	return nil
}
