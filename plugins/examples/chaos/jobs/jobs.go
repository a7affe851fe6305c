// Package jobs defines the tasks of the chaos plugin: ways to misbehave, for tests and for people who want to see supervision.
package jobs

import "github.com/stemd/stem"

// Args of the chaos tasks; each reads what it needs.
type Args struct {
	MS      int    `json:"ms,omitempty" jsonschema_description:"how long, in milliseconds"`
	Message string `json:"message,omitempty" jsonschema_description:"text of the error or log line"`
	Type    string `json:"type,omitempty" jsonschema_description:"type name of the error"`
	Times   int    `json:"times,omitempty" jsonschema_description:"fail this many attempts, then succeed; 0: all"`
	Code    int    `json:"code,omitempty" jsonschema_description:"exit status"`
	Bytes   int    `json:"bytes,omitempty" jsonschema_description:"how much"`
	Lines   int    `json:"lines,omitempty" jsonschema_description:"how many"`
	File    string `json:"file,omitempty" jsonschema_description:"path of a file"`
	Detach  bool   `json:"detach,omitempty" jsonschema_description:"in a session of its own"`
	Pad     string `json:"pad,omitempty" jsonschema_description:"ignored"`
}

func define(name, what string, opts ...stem.Option) stem.Task[Args, string] {
	opts = append([]stem.Option{stem.Queue("chaos"), stem.Describe(what), stem.Tags("chaos")}, opts...)
	return stem.NewTask[Args, string]("chaos."+name, opts...)
}

// The tasks.
var (
	Noop   = define("noop", "do nothing", stem.Idempotent())
	Sleep  = define("sleep", "sleep for ms, listening to cancellation")
	Ignore = define("ignore", "sleep for ms, deaf to cancellation")
	Alone  = define("alone", "sleep for ms, deaf to cancellation, and never twice at once", stem.Exclusive())
	Fail   = define("fail", "return an error")
	Panic  = define("panic", "panic")
	Exit   = define("exit", "end the process with a status")
	Crash  = define("crash", "die by a signal")
	Spin   = define("spin", "burn CPU for ms (0: for ever), deaf to cancellation")
	Leak   = define("leak", "keep bytes of memory, and go on for ms")
	Fork   = define("fork", "start a child process that sleeps for ms and outlives the task")
	Note   = define("note", "append message as a line to file, then sleep for ms, deaf to cancellation")
	Say    = define("say", "write message as a line to stderr")
	Flood  = define("flood", "write lines to stderr and the log")
	Big    = define("big", "return a result of bytes")
)
