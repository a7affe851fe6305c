package stem

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Kinds of records that hold evidence. Part is the task's id, the record's id that of EvidenceID. What a process said may be dropped
// earlier than the rest.
const (
	KindEvidence = "evidence"        // body: Evidence
	KindOutput   = "evidence-output" // body: EvidenceOutput, by EncodeEvidenceOutput
)

// EvidenceKept is how many attempts of one life of a task keep evidence: the latest ones.
const EvidenceKept = 10

// MaxEvidence bounds what is kept of one attempt, in bytes as stored.
const MaxEvidence = 160 << 10

// Evidence is what is known of an attempt that began and did not end well. It holds no arguments and no environment.
type Evidence struct {
	TaskID    string            `json:"taskId"`
	Task      string            `json:"task"`
	Queue     string            `json:"queue"`
	Attempt   int               `json:"attempt"` // 0-based
	Epoch     Epoch             `json:"epoch"`   // of its claim; rises over all lives of the task
	Replays   int               `json:"replays,omitempty"`
	Class     Class             `json:"class"`
	Error     *TaskError        `json:"error,omitempty"`
	Counted   bool              `json:"counted"`          // an attempt was spent on it
	Then      string            `json:"then"`             // "retried", "failed", "cancelled", "released"
	Reason    string            `json:"reason,omitempty"` // of the dead letter
	DueAt     time.Time         `json:"dueAt,omitzero"`   // next attempt
	Worker    string            `json:"worker"`           // node
	Host      string            `json:"host,omitempty"`
	Pid       int               `json:"pid,omitempty"`
	Pool      string            `json:"pool,omitempty"`
	Plugin    string            `json:"plugin,omitempty"`
	Version   string            `json:"version,omitempty"` // of the plugin
	SHA256    string            `json:"sha256,omitempty"`  // of its program
	StartedAt time.Time         `json:"startedAt,omitzero"`
	KilledAt  time.Time         `json:"killedAt,omitzero"`    // by its daemon
	EndedAt   time.Time         `json:"endedAt,omitzero"`     // after a kill: confirmed dead
	ExitCode  *int              `json:"exitCode,omitempty"`   // the process exited by itself
	Signal    string            `json:"signal,omitempty"`     // the process died of it
	OOM       bool              `json:"oom,omitempty"`        // it was killed for memory, by the kernel or its daemon
	PeakRSS   int64             `json:"peakRss,omitempty"`    // bytes; of the process since its start
	CPU       float64           `json:"cpuSeconds,omitempty"` // of the attempt; 0: not known
	Shared    bool              `json:"shared,omitempty"`     // the process ran other attempts at the same time
	Limits    map[string]string `json:"limits,omitempty"`     // in force
	Progress  json.RawMessage   `json:"progress,omitempty"`   // last report
	Stderr    int               `json:"stderrBytes"`          // kept in EvidenceOutput
	Stack     int               `json:"stackBytes"`           // likewise
	Output    *EvidenceOutput   `json:"-"`                    // nil: there was none, or it was dropped
}

// EvidenceOutput is what the process of an attempt said.
type EvidenceOutput struct {
	Stderr string `json:"stderr,omitempty"`
	Stack  string `json:"stack,omitempty"`
}

// EvidenceID is the id of the records of the attempt under a claim: in the order of the claims.
func EvidenceID(e Epoch) string { return fmt.Sprintf("%020d", int64(e)) }

// EncodeEvidenceOutput compresses an output. One that is larger than MaxEvidence all the same loses from the beginning of stderr
// and the end of the stack.
func EncodeEvidenceOutput(o EvidenceOutput) ([]byte, error) {
	for {
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			return nil, err
		}
		if err := json.NewEncoder(z).Encode(o); err != nil {
			return nil, err
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
		if b.Len() <= MaxEvidence {
			return b.Bytes(), nil
		}
		o.Stderr = strings.ToValidUTF8(o.Stderr[len(o.Stderr)/2:], "")
		o.Stack = strings.ToValidUTF8(o.Stack[:len(o.Stack)/2], "")
	}
}

// DecodeEvidenceOutput reads what EncodeEvidenceOutput wrote.
func DecodeEvidenceOutput(b []byte) (*EvidenceOutput, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, 4<<20))
	if err != nil {
		return nil, err
	}
	var o EvidenceOutput
	return &o, json.Unmarshal(text, &o)
}

// EvidenceTrail is State.Evidence: the epochs of the attempts that left evidence, oldest first.
type EvidenceTrail []Epoch

// ParseEvidenceTrail reads State.Evidence and leaves out what is no epoch.
func ParseEvidenceTrail(s string) EvidenceTrail {
	var t EvidenceTrail
	for _, field := range strings.Fields(s) {
		if n, err := strconv.ParseInt(field, 36, 64); err == nil {
			t = append(t, Epoch(n))
		}
	}
	return t
}

func (t EvidenceTrail) String() string {
	fields := make([]string, len(t))
	for i, e := range t {
		fields[i] = strconv.FormatInt(int64(e), 36)
	}
	return strings.Join(fields, " ")
}

// Add appends an attempt; dropped are those that EvidenceKept has no room for any more.
func (t EvidenceTrail) Add(e Epoch) (kept, dropped EvidenceTrail) {
	kept = append(t[:len(t):len(t)], e)
	n := max(len(kept)-EvidenceKept, 0)
	return kept[n:], kept[:n]
}

// EvidenceOf lists what is kept of the attempts of a task that did not end well, oldest first, also those of earlier lives.
func EvidenceOf(ctx context.Context, store Store, taskID string) ([]Evidence, error) {
	outputs := map[string][]byte{}
	var found []Evidence
	for _, kind := range []string{KindOutput, KindEvidence} {
		q := RecordQuery{Kind: kind, Part: &taskID, Limit: 100}
		for {
			page, err := store.Records.List(ctx, q)
			if err != nil {
				return nil, fmt.Errorf("evidence of task %s: %w", taskID, err)
			}
			for _, r := range page.Items {
				if kind == KindOutput {
					outputs[r.ID] = r.Body
					continue
				}
				var e Evidence
				if err := json.Unmarshal(r.Body, &e); err != nil {
					return nil, fmt.Errorf("evidence of task %s: record %s: %w", taskID, r.ID, err)
				}
				if b, ok := outputs[r.ID]; ok {
					if e.Output, err = DecodeEvidenceOutput(b); err != nil {
						return nil, fmt.Errorf("evidence of task %s: output %s: %w", taskID, r.ID, err)
					}
				}
				found = append(found, e)
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
	}
	return found, nil
}
