package adapters

import (
	"context"

	"github.com/stemd/stem"
)

// Viewer is who watches a task and is shown each of its statuses once.
type Viewer struct {
	Out  chan<- stem.Status
	last stem.Status
}

// Show shows a status that may be the last one again; nil: there is none. It waits for the reader. over: there will be no other one, or
// nobody reads any more.
func (v *Viewer) Show(ctx context.Context, s *stem.Status) (over bool) {
	if s == nil || s.State == v.last.State && s.UpdatedAt.Equal(v.last.UpdatedAt) && s.Epoch == v.last.Epoch {
		return false
	}
	v.last = *s
	select {
	case v.Out <- v.last:
		return v.last.State.Terminal()
	case <-ctx.Done():
		return true
	}
}
