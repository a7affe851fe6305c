package host

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
)

// Between the wire and the vocabulary. Nothing here trusts its input: a plugin may send anything that parses.

func manifestFromProto(m *pluginv1.Manifest) plugin.Manifest {
	out := plugin.Manifest{
		Name: m.GetName(), Version: m.GetVersion(), Protocol: int(m.GetProtocol()), SDK: m.GetSdk(),
		Features: m.GetFeatures(), ConfigSchema: m.GetConfigSchema(),
	}
	for _, t := range m.GetTasks() {
		o := stem.OptionsFromProto(t.GetOptions())
		spec := stem.TaskSpec{
			Name: t.GetName(), Description: t.GetDescription(), Tags: t.GetTags(), Idempotent: t.GetIdempotent(),
			Options: o, ArgsSchema: t.GetArgsSchema(), ResultSchema: t.GetResultSchema(),
		}
		if wire := t.GetOptions(); wire != nil {
			spec.Queue, spec.Priority, spec.MaxRetries = wire.GetQueue(), int(wire.GetPriority()), int(wire.GetMaxRetries())
		}
		out.Tasks = append(out.Tasks, spec)
	}
	return out
}

func outcomeFromProto(a plugin.Attempt, m *pluginv1.Outcome, pid int) plugin.Outcome {
	out := plugin.Outcome{
		Attempt: a, Result: m.GetResult(), Encoder: m.GetEncoder(), Error: stem.TaskErrorFromProto(m.GetError()),
		Snooze:  micros(m.GetSnooze()),
		Started: fromMicros(m.GetStartedAt()), Finished: fromMicros(m.GetFinishedAt()), Pid: pid,
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
			after := micros(r.GetAfter())
			out.Retry.After = &after
		}
	}
	var err error
	if out.Then, err = newTasks(m.GetThen()); err != nil {
		return plugin.Outcome{
			Attempt: a, Kind: plugin.Failure, Started: out.Started, Finished: out.Finished, Pid: pid,
			Error: &stem.TaskError{Class: stem.ClassError, Type: "ProtocolError", Message: "a task to publish on success: " + err.Error(), Permanent: true},
		}
	}
	return out
}

func newTasks(ms []*pluginv1.NewTask) ([]plugin.NewTask, error) {
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

func progressFromProto(m *pluginv1.Progress) plugin.Progress {
	p := plugin.Progress{Percent: m.GetPercent(), ExtendLease: micros(m.GetExtendLease())}
	if json.Valid(m.GetData()) {
		p.Data = m.GetData()
	}
	return p
}

func logFromProto(m *pluginv1.LogRecord, pid int) plugin.LogRecord {
	r := plugin.LogRecord{Time: fromMicros(m.GetTime()), Level: int(m.GetLevel()), Message: m.GetMessage(), Pid: pid}
	if json.Valid(m.GetAttrs()) {
		r.Attrs = m.GetAttrs()
	}
	return r
}

func micros(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}
