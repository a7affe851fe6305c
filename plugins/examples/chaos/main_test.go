package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin/sdk"
	"github.com/stemd/stem/plugin/sdk/stemtest"
	"github.com/stemd/stem/plugins/examples/chaos/jobs"
)

// What ends or blocks its process (exit, crash, spin) is tested where there is one to lose: with stemd.
func TestEveryTaskMisbehavesAsItsNameSays(t *testing.T) {
	store := stemtest.StartWire(t, newPlugin())
	client := stem.NewClient(store)
	for _, c := range []struct {
		call  stem.Call
		state stem.TaskState
		want  string // in the result or the error
	}{
		{jobs.Noop.Call(jobs.Args{}), stem.Succeeded, `""`},
		{jobs.Sleep.Call(jobs.Args{MS: 1}), stem.Succeeded, "slept"},
		{jobs.Sleep.Call(jobs.Args{MS: 60_000}, stem.SoftLimit(5*time.Millisecond)), stem.Failed, "soft"},
		{jobs.Ignore.Call(jobs.Args{MS: 1}), stem.Succeeded, "slept"},
		{jobs.Alone.Call(jobs.Args{MS: 1}), stem.Succeeded, "slept"},
		{jobs.Fail.Call(jobs.Args{Message: "no luck", Type: "Luck"}), stem.Failed, "no luck"},
		{jobs.Fail.Call(jobs.Args{Times: 1}, stem.MaxRetries(1), stem.RetryWith(stem.RetryPolicy{})), stem.Succeeded, "at last"},
		{jobs.Panic.Call(jobs.Args{}), stem.Failed, "chaos"},
		{jobs.Spin.Call(jobs.Args{MS: 1}), stem.Succeeded, "rounds"},
		{jobs.Leak.Call(jobs.Args{Bytes: 1 << 16}), stem.Succeeded, "1 allocations kept"},
		{jobs.Note.Call(jobs.Args{Message: "a line", File: filepath.Join(t.TempDir(), "notes")}), stem.Succeeded, "noted"},
		{jobs.Say.Call(jobs.Args{}), stem.Succeeded, "said"},
		{jobs.Fork.Call(jobs.Args{MS: 1}), stem.Succeeded, "child"},
		{jobs.Flood.Call(jobs.Args{Lines: 50}), stem.Succeeded, "50 lines"},
		{jobs.Big.Call(jobs.Args{Bytes: 10}), stem.Succeeded, strings.Repeat("x", 10)},
	} {
		h, err := client.Enqueue(t.Context(), c.call.Name, c.call.Args, c.call.Options...)
		if err != nil {
			t.Fatal(err)
		}
		s, err := h.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := string(s.Result)
		if s.Error != nil {
			got = s.Error.Message
		}
		if s.State != c.state || !strings.Contains(got, c.want) {
			args, _ := json.Marshal(c.call.Args)
			t.Errorf("%s %s: %s %s", c.call.Name, args, s.State, got)
		}
	}
}

func TestEveryTaskIsDescribed(t *testing.T) {
	m := sdk.NewMux(newPlugin(), nil, 1).Manifest()
	if len(m.Tasks) != 15 {
		t.Errorf("%d tasks", len(m.Tasks))
	}
	for _, task := range m.Tasks {
		if task.Description == "" || task.Queue != "chaos" || len(task.ArgsSchema) == 0 {
			t.Errorf("task %+v", task)
		}
	}
}
