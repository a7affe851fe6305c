package adapters

import (
	"sync"
	"time"

	"github.com/stemd/stem"
)

// lengths remembers how long the leases of claims are that are not of the default length, so that renewing one for a moment's work neither cuts it
// short nor keeps a task from others for longer than it was claimed. Like receipts it is bounded. It is safe for concurrent use; the zero
// value is empty.
type lengths struct {
	mu  sync.Mutex
	set map[stem.Receipt]time.Duration
}

func (l *lengths) note(r stem.Receipt, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d <= 0 || d == stem.DefaultLease {
		delete(l.set, r)
		return
	}
	if l.set == nil || len(l.set) >= maxBegun {
		l.set = map[stem.Receipt]time.Duration{}
	}
	l.set[r] = d
}

// leastRenewal is for how long a lease is renewed at least: the steps of a settlement fit into it though a server is slow.
const leastRenewal = 5 * time.Second

// of is for how long the lease of a claim is to be renewed.
func (l *lengths) of(r stem.Receipt) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d, ok := l.set[r]; ok {
		return max(d, leastRenewal)
	}
	return stem.DefaultLease
}

// claimed notes the leases of what a claim gave.
func (l *lengths) claimed(c stem.Claim, ds []stem.Delivery) {
	for i := range ds {
		l.note(ds[i].Receipt, LeaseOf(&ds[i].Message, c.Lease))
	}
}

// extended notes leases that were renewed.
func (l *lengths) extended(leases []stem.Lease) {
	for _, lease := range leases {
		l.note(lease.Receipt, lease.For)
	}
}
