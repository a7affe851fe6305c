package worker

import (
	"encoding/json"
	"os"
	"strings"
	"sync"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

const (
	// outputsPerName is how many attempts of one task name keep what their processes said; for a newer one the oldest is dropped.
	outputsPerName = 1000
	// namesMax bounds the names whose outputs are counted.
	namesMax = 1000
	// textMax bounds message and stack of an error in the evidence, each; the status has them whole.
	textMax = 16 << 10
)

// outputs knows, per task name, which outputs this daemon has written, so that a task that fails all the time does not fill the
// store. Safe for concurrent use.
type outputs struct {
	mu      sync.Mutex
	names   map[string]*outputRing
	dropped uint64
}

type outputRing struct {
	refs []stem.RecordRef
	next int
}

// add takes note of an output; old is the one it takes the place of, if any. ok is false when there are too many names.
func (o *outputs) add(name string, ref stem.RecordRef) (old *stem.RecordRef, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ring := o.names[name]
	if ring == nil {
		if len(o.names) >= namesMax {
			o.dropped++
			return nil, false
		}
		if o.names == nil {
			o.names = map[string]*outputRing{}
		}
		ring = &outputRing{}
		o.names[name] = ring
	}
	if len(ring.refs) < outputsPerName {
		ring.refs = append(ring.refs, ref)
		return nil, true
	}
	was := ring.refs[ring.next]
	ring.refs[ring.next] = ref
	ring.next = (ring.next + 1) % outputsPerName
	o.dropped++
	return &was, true
}

func (o *outputs) count() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dropped
}

// testify adds the evidence of an attempt that did not end well to its settlement. Every write is a put or a plain delete, so it
// can neither conflict nor refuse the settlement.
func (w *Worker) testify(a *attempt, o *plugin.Outcome, s *stem.Settlement) {
	if ended(o) == "" || o.Started.IsZero() {
		return
	}
	e := w.evidence(a, o)
	e.conclude(s)
	state := a.delivery.State
	if s.State != nil {
		state = *s.State
	}
	trail, dropped := stem.ParseEvidenceTrail(state.Evidence).Add(e.Epoch)
	state.Evidence = trail.String()
	if s.Kind != stem.Done {
		s.State = &state
	}
	s.Save = append(s.Save, w.evidenceWrites(e, o.Evidence)...)
	for _, epoch := range dropped {
		for _, kind := range []string{stem.KindEvidence, stem.KindOutput} {
			s.Save = append(s.Save, forget(stem.RecordRef{Kind: kind, Part: e.TaskID, ID: stem.EvidenceID(epoch)}))
		}
	}
}

func forget(ref stem.RecordRef) stem.RecordWrite {
	return stem.RecordWrite{Op: stem.DeleteRecord, Record: stem.Record{RecordRef: ref}}
}

// evidenceRecord is Evidence on its way into a record.
type evidenceRecord struct{ stem.Evidence }

// evidence gathers what runner and worker know of an attempt.
func (w *Worker) evidence(a *attempt, o *plugin.Outcome) *evidenceRecord {
	d := &a.delivery
	e := &evidenceRecord{stem.Evidence{
		TaskID: d.ID, Task: d.Name, Queue: d.Queue, Attempt: d.State.Attempt, Epoch: d.Receipt.Epoch, Replays: d.State.Replays,
		Class: o.Error.Class, Error: shortened(o.Error), Worker: w.cfg.Node, Pid: o.Pid,
		StartedAt: o.Started.UTC(), EndedAt: o.Finished.UTC(), Limits: map[string]string{},
	}}
	e.Host, _ = os.Hostname() // "" is left out
	if a.pool != nil {
		e.Pool, e.Plugin = a.pool.Name, a.pool.plugin()
	}
	for name, limit := range map[string]string{
		"soft": a.effective.soft.String(), "hard": a.effective.hard.String(), "heartbeat_timeout": a.effective.heartbeat.String(),
	} {
		if limit != "0s" {
			e.Limits[name] = limit
		}
	}
	w.inflight.mu.Lock()
	if a.reported != nil {
		e.Progress, _ = json.Marshal(progressReport(a.reported)) // it was valid JSON before
	}
	w.inflight.mu.Unlock()
	if p := o.Evidence; p != nil {
		e.Version, e.SHA256, e.KilledAt, e.ExitCode, e.Signal, e.OOM = p.Version, p.SHA256, p.Killed.UTC(), p.ExitCode, p.Signal, p.OOM
		e.PeakRSS, e.CPU, e.Shared, e.Stderr, e.Stack = p.PeakRSS, p.CPU.Seconds(), p.Shared, len(p.Stderr), len(p.Stack)
		if p.Killed.IsZero() {
			e.KilledAt = p.Killed
		}
		for name, limit := range p.Limits {
			e.Limits[name] = limit
		}
	}
	return e
}

// conclude says what became of the task.
func (e *evidenceRecord) conclude(s *stem.Settlement) {
	e.Reason = s.Reason
	switch s.Kind {
	case stem.Retry:
		e.Counted, e.Then, e.DueAt = true, "retried", s.At.UTC()
	case stem.Dead:
		e.Counted, e.Then = !innocent(e.Class), "failed"
	case stem.Done:
		e.Then = "cancelled"
	default:
		e.Then = "released"
	}
}

// evidenceWrites are the records of an attempt.
func (w *Worker) evidenceWrites(e *evidenceRecord, p *plugin.Evidence) []stem.RecordWrite {
	ref := stem.RecordRef{Kind: stem.KindEvidence, Part: e.TaskID, ID: stem.EvidenceID(e.Epoch)}
	var writes []stem.RecordWrite
	if p != nil && len(p.Stderr)+len(p.Stack) > 0 {
		output := stem.RecordRef{Kind: stem.KindOutput, Part: e.TaskID, ID: ref.ID}
		body, err := stem.EncodeEvidenceOutput(stem.EvidenceOutput{Stderr: p.Stderr, Stack: p.Stack})
		if old, ok := w.outputs.add(e.Task, output); ok && err == nil {
			writes = append(writes, w.keepRecord(output, body))
			if old != nil {
				writes = append(writes, forget(*old))
			}
		}
	}
	body, err := json.Marshal(e.Evidence)
	if err != nil || len(body) > stem.MaxEvidence { // a handler's progress, say
		e.Progress, e.Error = nil, &stem.TaskError{Class: e.Class, Type: e.Error.Type, Message: "too large to be kept with the evidence"}
		if body, err = json.Marshal(e.Evidence); err != nil {
			return writes
		}
	}
	return append(writes, w.keepRecord(ref, body))
}

func (w *Worker) keepRecord(ref stem.RecordRef, body []byte) stem.RecordWrite {
	return stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: body}, TTL: w.cfg.EvidenceTTL}
}

// shortened is an error for the evidence.
func shortened(e *stem.TaskError) *stem.TaskError {
	short := *e
	short.Message, short.Stack = cut(e.Message), cut(e.Stack)
	return &short
}

func cut(s string) string {
	if len(s) <= textMax {
		return s
	}
	return strings.ToValidUTF8(s[:textMax], "") + "…"
}
