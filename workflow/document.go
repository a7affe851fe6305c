package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stemd/stem"
)

// Kind is the kind of all records of runs; the part is the run's id. So one run is one unit of atomicity.
const Kind = "workflow"

// Ids of the records of a run. A step's is stepPrefix + the name of its checkpoint.
const (
	runID      = "run"    // its document
	leaseID    = "lease"  // body: the owner; there while a claim lasts
	paramsID   = "params" // as given
	resultID   = "result" // as given
	wakeID     = "wake"   // there while the run is suspended
	stepPrefix = "step/"
)

const (
	stepTag = "step"
	wakeTag = "wake"
)

// Lists go by due time, earliest first. Runs are to be listed newest first, so a run's document is due the later the older it is,
// in years that no clock will see; in between lies never, at which a wait without a deadline is due. All of it is below 2⁵³ µs,
// up to which a store that keeps times in floating point is exact.
var (
	origin  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	never   = time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC)
	horizon = time.Date(2255, 1, 1, 0, 0, 0, 0, time.UTC)
)

// document is the body of a run's own record, and what is known of the record.
type document struct {
	Run
	Epoch    int64    `json:"epoch,omitempty"` // of the latest claim
	Bases    []string `json:"steps,omitempty"` // names of completed steps without their iterations
	Position int      `json:"position"`        // of the next new checkpoint

	version int64
	lease   *stem.Record // nil: nobody's, or expired
}

func ref(run, id string) stem.RecordRef { return stem.RecordRef{Kind: Kind, Part: run, ID: id} }

func put(run, id string, body []byte) stem.RecordWrite {
	return stem.RecordWrite{Record: stem.Record{RecordRef: ref(run, id), Body: body}}
}

func remove(run, id string) stem.RecordWrite {
	return stem.RecordWrite{Record: stem.Record{RecordRef: ref(run, id)}, Op: stem.DeleteRecord}
}

// runTag is what a run of this workflow and status is found by; empty parts do not matter.
func runTag(workflow string, status Status) string {
	switch {
	case workflow == "" && status == "":
		return "run"
	case workflow == "":
		return "status:" + string(status)
	case status == "":
		return "workflow:" + workflow
	}
	return string(status) + ":" + workflow
}

// topicTag is what the wake-up of a run that waits for an event is found by.
func topicTag(topic string) string { return "topic:" + topic }

// write is the write of the document.
func (d *document) write(op stem.RecordOp) (stem.RecordWrite, error) {
	d.Cursor = len(d.Bases)
	body, err := json.Marshal(d)
	if err != nil {
		return stem.RecordWrite{}, err
	}
	w := put(d.ID, runID, body)
	w.Op, w.IfVersion = op, d.version
	w.Record.Due = horizon.Add(-d.CreatedAt.Sub(origin))
	w.Record.Tags = []string{runTag("", ""), runTag("", d.Status), runTag(d.Workflow, ""), runTag(d.Workflow, d.Status)}
	return w, nil
}

// decode reads a run from its record and that of its lease.
func decode(r, lease *stem.Record) (*document, error) {
	if r == nil {
		return nil, stem.ErrNotFound
	}
	d := &document{version: r.Version, lease: lease}
	if err := json.Unmarshal(r.Body, d); err != nil {
		return nil, fmt.Errorf("the record of the run can not be read: %w", err)
	}
	if d.LeasedUntil = (time.Time{}); lease != nil {
		d.LeasedUntil = lease.Expires
	}
	return d, nil
}

// encodeStep is one line of JSON and then the value as it is.
func encodeStep(run string, step Step) (stem.RecordWrite, error) {
	head, err := json.Marshal(step)
	if err != nil {
		return stem.RecordWrite{}, err
	}
	w := put(run, stepPrefix+step.Name, append(append(head, '\n'), step.Value...))
	w.Record.Tags = []string{stepTag}
	return w, nil
}

func decodeStep(body []byte) (Step, error) {
	head, value, _ := bytes.Cut(body, []byte{'\n'})
	var step Step
	if err := json.Unmarshal(head, &step); err != nil {
		return Step{}, fmt.Errorf("the record of a step can not be read: %w", err)
	}
	step.Value = value
	return step, nil
}
