package stem

import (
	"context"
	"time"
)

// Store is what an adapter's Open returns: the three ports, and Bus where there is one. Capabilities are asserted on the
// fields (Inspector, Maintainer, Takeover and Limiter on Broker).
type Store struct {
	Broker  Broker
	Results Results
	Records Records
	Bus     Bus // nil: none; everything works without, later
	// Info describes the store to people; it holds no secret.
	Info StoreInfo
	// ExamineFunc looks again at what Info.Warnings said when the store was opened; nil: that does not change.
	ExamineFunc func(ctx context.Context) ([]string, error)
	// CloseFunc ends what Open started; nil: nothing to do.
	CloseFunc func() error
}

// Examine is what an operator should know of the store now. It asks the servers; with an error it is what those say that answer.
func (s Store) Examine(ctx context.Context) ([]string, error) {
	if s.ExamineFunc == nil {
		return s.Info.Warnings, nil
	}
	return s.ExamineFunc(ctx)
}

// Close releases what Open started. It does not settle anything: leases that are held expire.
func (s Store) Close() error {
	if s.CloseFunc == nil {
		return nil
	}
	return s.CloseFunc()
}

// StoreInfo describes a store to people.
type StoreInfo struct {
	URL       string // without password
	Kind      string // "sqlite", "memory"
	Version   string // "SQLite 3.50.4, schema 1"
	Namespace string
	Warnings  []string // what an operator should know; of the moment it was opened
	OneFile   bool     // broker and results share one transaction: queued and running are derived, never written
}

// Bus carries lossy hints between processes. Nothing may depend on a hint arriving.
type Bus interface {
	// Send publishes a hint to the present subscribers of a topic.
	Send(ctx context.Context, topic string, payload []byte) error
	// Subscribe delivers hints until ctx ends; then the channel is closed. A slow reader loses hints.
	Subscribe(ctx context.Context, topic string) (<-chan []byte, error)
}

// Maintainer is the optional capability of a Broker that has expired things to delete. Only daemons call it.
type Maintainer interface {
	// Maintain deletes a bounded slice of what is past its retention and says how much; call again while More.
	Maintain(ctx context.Context) (Maintained, error)
}

// Maintained counts what one slice deleted.
type Maintained struct {
	Results     int  `json:"results"`
	DeadLetters int  `json:"deadLetters"`
	Records     int  `json:"records"`
	SeenIDs     int  `json:"ids"`
	Groups      int  `json:"groups"`
	Events      int  `json:"events"` // broadcasts that their subscribers did not read
	Limits      int  `json:"limits"` // keys of the limiter that have rested, where they do not go by themselves
	More        bool `json:"-"`
}

// Add sums up what several slices deleted; More is that of the later one.
func (m Maintained) Add(later Maintained) Maintained {
	return Maintained{
		Results: m.Results + later.Results, DeadLetters: m.DeadLetters + later.DeadLetters, Records: m.Records + later.Records,
		SeenIDs: m.SeenIDs + later.SeenIDs, Groups: m.Groups + later.Groups, Events: m.Events + later.Events, Limits: m.Limits + later.Limits, More: later.More,
	}
}

// Beside sums up what stores beside each other deleted; there is more when either has more.
func (m Maintained) Beside(other Maintained) Maintained {
	sum := m.Add(other)
	sum.More = m.More || other.More
	return sum
}

// FileStore is the optional capability of a Broker whose store is a file on this host. All methods may run beside daemons and
// producers that use the file.
type FileStore interface {
	// Check reads the whole file and says what is wrong with it; nothing: it is sound.
	Check(ctx context.Context) (problems []string, err error)
	// Vacuum gives the file's unused pages back to the disk, a slice at a time, and says its size in bytes before and after.
	Vacuum(ctx context.Context) (before, after int64, err error)
	// Backup writes a copy as of one moment to path, which must not exist.
	Backup(ctx context.Context, path string) error
}

// Takeover is the optional capability of a Broker to free the leases of a dead process at once.
type Takeover interface {
	// ReleaseOwner gives back every task leased to owner, in its old place, counting one redelivery, and returns how many.
	// The caller has proved that the owner's process is gone.
	ReleaseOwner(ctx context.Context, owner string) (int, error)
}

// StoreOptions are what every adapter's Open takes. The zero value means the documented defaults.
type StoreOptions struct {
	Namespace   string           // DefaultNamespace
	DeadLetters time.Duration    // retention, DefaultDeadTTL; < 0: for ever
	Dedupe      time.Duration    // memory of chosen ids, DefaultDedupe
	Events      time.Duration    // how long a broadcast waits for its subscriber, DefaultEvents
	ReadOnly    bool             // open for looking only
	TLS         TLS              // for stores reached over TLS
	Now         func() time.Time // the store's clock where it has none of its own; time.Now
}

// StoreOption changes StoreOptions.
type StoreOption func(*StoreOptions)

// Namespace keeps everything of this store apart from other namespaces on the same server or file.
func Namespace(name string) StoreOption { return func(o *StoreOptions) { o.Namespace = name } }

// NewStoreOptions applies opts over the defaults. For adapters.
func NewStoreOptions(opts ...StoreOption) StoreOptions {
	o := StoreOptions{Namespace: DefaultNamespace, DeadLetters: DefaultDeadTTL, Dedupe: DefaultDedupe, Events: DefaultEvents, Now: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}
