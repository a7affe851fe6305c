package stem

import "time"

// Limits that hold everywhere. Each is refused with a *SizeError or *OptionError, never cut.
const (
	// MaxMessage is the largest envelope, header and body together.
	MaxMessage = 1 << 20
	// MaxResult is the default largest result; the daemon's max_result may lower it.
	MaxResult = 1 << 20
	// MaxRecord is the largest body of a Record.
	MaxRecord = 256 << 10
	// MaxTags is the most tags a Record has.
	MaxTags = 4
	// MaxName bounds task names, queue names, ids and namespaces, in bytes.
	MaxName = 255
	// MaxPriority is the highest priority; 0 is the lowest.
	MaxPriority = 9
	// MaxRedeliveries is how often a task's lease may expire before it is dead as poison.
	MaxRedeliveries = 5
	// MaxCrashes is how many attempts of a task may take their process with them, by default, before it is dead as poison.
	MaxCrashes = 3
	// MaxGroup is the most members of a group.
	MaxGroup = 100_000
)

// Defaults shared by producers, adapters and the daemon.
const (
	DefaultNamespace  = "stem"
	DefaultQueue      = "default"
	DefaultLease      = 30 * time.Second
	DefaultResultTTL  = 24 * time.Hour
	DefaultDeadTTL    = 7 * 24 * time.Hour
	DefaultDedupe     = 24 * time.Hour // how long a caller-chosen id is remembered after its end
	DefaultMaxRetries = 0
	DefaultUnique     = 5 * time.Minute
	DefaultGroupTTL   = 24 * time.Hour // of a group, since it was opened or counted last
	DefaultEvents     = 24 * time.Hour // how long a broadcast waits for a subscriber that does not read
	DefaultLockTTL    = 30 * time.Second
)

// ParkedPrefix starts the reserved queue names that hold tasks no live plugin declares: ParkedPrefix + task name.
const ParkedPrefix = "parked:"

// BroadcastPrefix starts the reserved names of the subscribers' private queues: BroadcastPrefix + channel + ":" + subscriber.
const BroadcastPrefix = "broadcast:"
