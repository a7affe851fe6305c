package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// EvidenceTTL is how long evidence of attempts is kept; stem.DefaultDeadTTL.
	EvidenceTTL time.Duration
	Shutdown    Shutdown
	ScaleTick   time.Duration // 2 s: how often pools that change their size are told their backlog

	// Observe, when not nil, is told of every settlement as it is decided. It must not block.
	Observe func(Event)
	// SoftLimit, when not nil, is told of every attempt that passes its soft limit, once. It must not block.
	SoftLimit func(Late)

	// Warnings, when not nil, is what an operator should know of the store now; else that is what it was when the store was opened.
	Warnings func() []string

	// Begin, when not nil, holds claiming back until it is closed: a new generation starts its processes beside the old one.
	Begin <-chan struct{}
	// Alone says whether no other generation runs, which would write and delete the same heartbeat; nil: none ever does.
	Alone func() bool
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
	Crashes    *int                     // attempts that may take their process with them before the task is poison; 0: any number; nil: stem.MaxCrashes
	Soft, Hard time.Duration            // 0: none
	Heartbeat  time.Duration            // longest silence of a handler; 0: any
	Tasks      map[string]TaskPolicy
	AcksLate   *bool
}

// ClassRule narrows retries for one class of failure. It never allows more than the retries of the task.
type ClassRule struct {
	Max   *int           // retries of failures of this class: the attempt after so many is the last
	Delay *time.Duration // before such a retry, instead of the policy's
}

// TaskPolicy is what configuration says of one task.
type TaskPolicy struct {
	MaxRetries *int
	Retry      *stem.RetryPolicy
	On         map[stem.Class]ClassRule // each instead of the pool's rule for that class
	Crashes    *int
	Soft, Hard time.Duration
	Heartbeat  time.Duration
	Queue      string
	Exclusive  *bool // it never runs twice at once: killed before its lease can lapse, also when the store is away; nil: as its definition says
}

// withDefaults fills in what was left zero and refuses what can not work.
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Node == "":
		return c, errors.New("worker: the daemon needs a node name")
	case c.Boot == "":
		return c, errors.New("worker: the daemon needs a boot id")
	case len(c.Pools) == 0:
		return c, errors.New("worker: no plugin is configured, there is nothing to run tasks with")
	}
	owners := map[string]string{}
	for _, p := range c.Pools {
		if p.Name == "" || p.New == nil {
			return c, errors.New("worker: a pool needs a name and a runner")
		}
		for queue, weight := range p.Queues {
			if weight < 1 {
				return c, fmt.Errorf("worker: pool %s: weight of queue %s is %d, want at least 1", p.Name, queue, weight)
			}
			if owner, taken := owners[queue]; taken {
				return c, fmt.Errorf("worker: two pools own queue %q: %s and %s. A queue belongs to one pool", queue, owner, p.Name)
			}
			owners[queue] = p.Name
		}
	}
	c.Namespace = cmp.Or(c.Namespace, stem.DefaultNamespace)
	c.Lease = cmp.Or(c.Lease, stem.DefaultLease)
	c.Heartbeat = cmp.Or(c.Heartbeat, 10*time.Second)
	c.ResultTTL = cmp.Or(c.ResultTTL, stem.DefaultResultTTL)
	c.ParkFor = cmp.Or(c.ParkFor, 24*time.Hour)
	c.EvidenceTTL = cmp.Or(c.EvidenceTTL, stem.DefaultDeadTTL)
	c.MaxResult = cmp.Or(c.MaxResult, stem.MaxResult)
	c.ScaleTick = cmp.Or(c.ScaleTick, 2*time.Second)
	c.Shutdown.Warm = cmp.Or(c.Shutdown.Warm, 150*time.Second)
	c.Shutdown.SoftGrace = cmp.Or(c.Shutdown.SoftGrace, 30*time.Second)
	return c, nil
}

// owner names this run of the daemon in its claims.
func (c Config) owner() string { return c.Node + "/" + c.Boot }
