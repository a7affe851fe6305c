package worker

import (
	"context"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// Config of a Worker. The zero value of a field means its default.
type Config struct {
	Node      string // name of this daemon, unique in the namespace; required
	Boot      string // random id of this run; required. Owner of its claims is Node + "/" + Boot.
	Namespace string
	Version   string // of stemd, for heartbeats
	Pools     []Pool // at least one

	Lease     time.Duration // stem.DefaultLease; renewed at a third
	Heartbeat time.Duration // 10 s
	ResultTTL time.Duration // stem.DefaultResultTTL
	ParkFor   time.Duration // 24 h: how long a parked task waits while nobody declares its name
	MaxResult int           // stem.MaxResult
	Shutdown  Shutdown
}

// Shutdown bounds how long a stop may take.
type Shutdown struct {
	Warm      time.Duration // warm → soft after this; 150 s; < 0: never
	SoftGrace time.Duration // soft → hard after this; 30 s
}

// Pool is one bulkhead: the queues it owns, the runner of its processes, and the defaults of its tasks.
type Pool struct {
	Name   string
	Plugin string
	Queues map[string]int // weights ≥ 1; empty: those its manifest declares, and DefaultQueue when it is the only pool
	New    func(plugin.Sink) Runner
	Policy Policy
}

// Runner is a plugin.Runner with a life of its own: Run starts its processes and returns when all are gone.
type Runner interface {
	plugin.Runner
	Run(ctx context.Context) error
}

// Policy is what configuration says of a pool's tasks. What a caller or definition set wins, then Tasks, then the rest.
type Policy struct {
	MaxRetries *int
	Retry      *stem.RetryPolicy
	On         map[stem.Class]ClassRule // rules per class of failure
	Soft, Hard time.Duration            // 0: none
	Tasks      map[string]TaskPolicy
	AcksLate   *bool
}

// ClassRule narrows retries for one class of failure.
type ClassRule struct {
	Max *int // attempts beyond the first that may end this way
}

// TaskPolicy is what configuration says of one task.
type TaskPolicy struct {
	MaxRetries *int
	Retry      *stem.RetryPolicy
	Soft, Hard time.Duration
	Queue      string
}
