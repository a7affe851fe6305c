// Package config turns stem.hcl into a Config: strictly, completely, before anything starts. Every complaint names file and line.
//
// It holds no defaults of its own: a zero field means the default of the package that uses it. It may be imported by the daemon
// and the command line.
package config

import (
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/daemon/worker"
	"github.com/stemd/stem/internal/scale"
	"github.com/stemd/stem/plugin/host"
)

// Config is a checked configuration.
type Config struct {
	Files     []string
	Namespace string
	Node      string
	Broker    Store
	Results   Store // URL empty: the broker's store
	Records   Store // URL empty: the broker's store
	ResultTTL time.Duration
	TLS       stem.TLS // of all stores

	DeadLetters time.Duration // retention; 0: default
	Events      time.Duration // likewise, of broadcasts that are not read
	Worker      Worker
	Shutdown    worker.Shutdown
	Pools       []Pool // by name

	shown *shown
}

// Store is one store block.
type Store struct{ URL string }

// Worker is the worker block.
type Worker struct {
	Lease     time.Duration
	Heartbeat time.Duration
	ParkFor   time.Duration
	MaxResult int
	Scale     scale.Rules   // pace of pools that change their size; their bounds are their own
	ScaleTick time.Duration // between two looks at the backlog
}

// Pool is a plugin block, or a pool block inside one.
type Pool struct {
	Host   host.Config
	Queues map[string]int
	Policy worker.Policy
	where  position // of the block
	queues map[string]position
}
