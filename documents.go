package stem

import (
	"encoding/json"
	"time"
)

// Heartbeat is the body of a KindHeartbeat record: one daemon, now.
type Heartbeat struct {
	WorkerID  string           `json:"workerId"`
	Namespace string           `json:"namespace"`
	Timestamp time.Time        `json:"timestamp"`
	Version   string           `json:"version"`
	Inflight  int              `json:"inflight"`
	Queues    []HeartbeatQueue `json:"queues"`
	Pools     []HeartbeatPool  `json:"pools"`
	LastClaim time.Time        `json:"lastClaim,omitzero"`
	Extras    HeartbeatExtras  `json:"extras"`
	Owner     string           `json:"owner"` // of its claims, node/boot
	BootID    string           `json:"bootId"`
	StartTime uint64           `json:"startTime"` // of the process, clock ticks since boot: pid and this name a process
	Interval  time.Duration    `json:"interval"`  // stale after twice this
	Warnings  []string         `json:"warnings,omitempty"`
}

// HeartbeatQueue is one queue of a daemon.
type HeartbeatQueue struct {
	Name     string `json:"name"`
	Pool     string `json:"pool"`
	Inflight int    `json:"inflight"`
}

// HeartbeatPool is one pool of a daemon.
type HeartbeatPool struct {
	Name     string `json:"name"`
	Plugin   string `json:"plugin"`
	Version  string `json:"version"`
	Up       int    `json:"up"`               // processes that take tasks
	Size     int    `json:"size"`             // processes wanted now
	Spares   int    `json:"spares,omitempty"` // ready to take over
	State    string `json:"state"`            // "ok", "starting", or why not
	Pids     []int  `json:"pids,omitempty"`
	Restarts int    `json:"restarts"`
	Inflight int    `json:"inflight"`
	// Quarantined: it takes no tasks because its plugin does not start or does nothing but die, or because a process of it was killed
	// and does not die; State says why.
	Quarantined bool     `json:"quarantined,omitempty"`
	Limits      []string `json:"limits,omitempty"` // of a process, each with the means that enforces it
}

// PoolIdle is the State of a pool that has no process because there is nothing to do: a task starts one.
const PoolIdle = "idle: no process until there is a task"

// HeartbeatExtras are facts for people.
type HeartbeatExtras struct {
	Host      string    `json:"host"`
	Pid       int       `json:"pid"`
	StartedAt time.Time `json:"startedAt"`
	UptimeMS  int64     `json:"uptimeMs"`
	Memory    uint64    `json:"memoryBytes"`
	CPUCount  int       `json:"cpuCount"`
	Started   uint64    `json:"started"`
	Completed uint64    `json:"completed"`
	Failed    uint64    `json:"failed"`
	// Classes counts attempts that ended other than well, by class.
	Classes map[Class]uint64 `json:"classes,omitempty"`
	// SoftLimits counts attempts that passed their soft limit.
	SoftLimits uint64 `json:"softLimits,omitempty"`
	// Deleted counts what this daemon removed from the store because it was past its retention.
	Deleted Maintained `json:"deleted"`
	// OutputsDropped counts attempts whose stderr and stack were dropped for newer ones of the same task name.
	OutputsDropped uint64 `json:"outputsDropped,omitempty"`
}

// PluginManifest is the body of a KindManifest record: what a plugin of a live daemon can do. It expires with the heartbeat.
type PluginManifest struct {
	Node     string     `json:"node"`
	Plugin   string     `json:"plugin"`
	Version  string     `json:"version"`
	SDK      string     `json:"sdk,omitempty"`
	Protocol int        `json:"protocol"`
	Queues   []string   `json:"queues"`
	Tasks    []TaskSpec `json:"tasks"`
}

// TaskSpec describes one task of a manifest.
type TaskSpec struct {
	Name         string          `json:"name"`
	Description  string          `json:"description,omitempty"`
	Tags         []string        `json:"tags,omitempty"`
	Idempotent   bool            `json:"idempotent,omitempty"`
	Exclusive    bool            `json:"exclusive,omitempty"` // never run twice at once
	Queue        string          `json:"queue,omitempty"`     // home queue: definition's, else the pool's first
	Priority     int             `json:"priority"`
	MaxRetries   int             `json:"maxRetries"`
	Options      Options         `json:"-"`
	ArgsSchema   json.RawMessage `json:"argsSchema,omitempty"`
	ResultSchema json.RawMessage `json:"resultSchema,omitempty"`
}

// Revocation is the body of a KindRevocation record: the task must not run again. Daemons read them by version and hear of
// them on the bus.
type Revocation struct {
	TaskID    string    `json:"taskId"`
	Terminate bool      `json:"terminate"` // also stop it where it runs
	Force     bool      `json:"force"`     // by killing its process at once
	Reason    string    `json:"reason,omitempty"`
	Requester string    `json:"requestedBy,omitempty"`
	IssuedAt  time.Time `json:"issuedAt"`
}

// TopicRevocations is the bus topic that says a revocation was written.
const TopicRevocations = "revocations"
