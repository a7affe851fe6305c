// Package wire converts between the plugin protocol and the vocabulary, for the host and for handlers run in-process. Nothing in
// it trusts its input: a plugin may send anything that parses.
package wire

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
)

// Manifest converts a manifest.
func Manifest(m *pluginv1.Manifest) plugin.Manifest {
	out := plugin.Manifest{
		Name: m.GetName(), Version: m.GetVersion(), Protocol: int(m.GetProtocol()), SDK: m.GetSdk(),
		Features: m.GetFeatures(), ConfigSchema: m.GetConfigSchema(),
	}
	for _, t := range m.GetTasks() {
		o := stem.OptionsFromProto(t.GetOptions())
		spec := stem.TaskSpec{
			Name: t.GetName(), Description: t.GetDescription(), Tags: t.GetTags(), Idempotent: t.GetIdempotent(), Exclusive: t.GetExclusive(),
			Options: o, ArgsSchema: t.GetArgsSchema(), ResultSchema: t.GetResultSchema(),
		}
		if wire := t.GetOptions(); wire != nil {
			spec.Queue, spec.Priority, spec.MaxRetries = wire.GetQueue(), int(wire.GetPriority()), int(wire.GetMaxRetries())
		}
		out.Tasks = append(out.Tasks, spec)
	}
	return out
}

// Outcome converts the end of attempt a, reported by process pid; 0: this one.
func Outcome(a plugin.Attempt, m *pluginv1.Outcome, pid int) plugin.Outcome {
	out := plugin.Outcome{
		Attempt: a, Result: m.GetResult(), Encoder: m.GetEncoder(), Error: stem.TaskErrorFromProto(m.GetError()),
		Snooze:  Duration(m.GetSnooze()),
		Started: Time(m.GetStartedAt()), Finished: Time(m.GetFinishedAt()), Pid: pid,
	}
	if out.Error != nil {
		out.Kind = plugin.Failure
		if out.Error.Class == "" {
			out.Error.Class = stem.ClassError
		}
	}
	if r := m.GetRetry(); r != nil {
		out.Retry = &plugin.RetryRequest{Override: stem.OverrideFromProto(r.GetOverride())}
		if r.After != nil {
			after := Duration(r.GetAfter())
			out.Retry.After = &after
		}
	}
	var err error
	if out.Then, err = NewTasks(m.GetThen()); err != nil {
		return plugin.Outcome{
			Attempt: a, Kind: plugin.Failure, Started: out.Started, Finished: out.Finished, Pid: pid,
			Error: &stem.TaskError{Class: stem.ClassError, Type: "ProtocolError", Message: "a task to publish on success: " + err.Error(), Permanent: true},
		}
	}
	return out
}

// NewTasks converts tasks that a handler enqueues.
func NewTasks(ms []*pluginv1.NewTask) ([]plugin.NewTask, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	tasks := make([]plugin.NewTask, 0, len(ms))
	for _, m := range ms {
		if m.GetHeader() == nil {
			return nil, errors.New("it has no header")
		}
		h, err := stem.HeaderFromProto(m.GetHeader())
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, plugin.NewTask{Header: *h, Body: m.GetBody(), Key: m.GetKey()})
	}
	return tasks, nil
}

// Progress converts a sign of life; data that is not JSON is left out.
func Progress(m *pluginv1.Progress) plugin.Progress {
	p := plugin.Progress{Percent: m.GetPercent(), ExtendLease: Duration(m.GetExtendLease())}
	if json.Valid(m.GetData()) {
		p.Data = m.GetData()
	}
	return p
}

// Log converts a log record; attributes that are not JSON are left out.
func Log(m *pluginv1.LogRecord, pid int) plugin.LogRecord {
	r := plugin.LogRecord{Time: Time(m.GetTime()), Level: int(m.GetLevel()), Message: m.GetMessage(), Pid: pid}
	if json.Valid(m.GetAttrs()) {
		r.Attrs = m.GetAttrs()
	}
	return r
}

// Duration converts microseconds.
func Duration(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// Time converts microseconds since the Unix epoch; 0 is the zero time.
func Time(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}
