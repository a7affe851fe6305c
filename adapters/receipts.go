package adapters

import (
	"sync"

	"github.com/stemd/stem"
)

// maxBegun bounds what receipts remembers. When it is passed everything is forgotten: a settlement repeated after that meets
// its own records, is refused as a conflict, and its task runs again.
const maxBegun = 10_000

// receipts is a set of claims. It is safe for concurrent use; the zero value is empty.
type receipts struct {
	mu  sync.Mutex
	set map[stem.Receipt]struct{}
}

func (r *receipts) has(rc stem.Receipt) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.set[rc]
	return ok
}

func (r *receipts) add(rc stem.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == nil || len(r.set) >= maxBegun {
		r.set = map[stem.Receipt]struct{}{}
	}
	r.set[rc] = struct{}{}
}

func (r *receipts) remove(rc stem.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.set, rc)
}
