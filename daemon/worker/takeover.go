package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/proc"
)

const rename = "give this one another name by node = \"…\" or STEM_WORKER_NODE"

// takeOver looks for a predecessor under this node's name. One that is gone leaves its leases to us at once; one that lives
// keeps us from starting.
func (w *Worker) takeOver(ctx context.Context) error {
	found, err := w.store.Records.Load(ctx, stem.RecordRef{Kind: stem.KindHeartbeat, ID: w.cfg.Node})
	if err != nil {
		return fmt.Errorf("worker: look for a predecessor: %w", err)
	}
	if found[0] == nil {
		return nil
	}
	var old stem.Heartbeat
	if err := json.Unmarshal(found[0].Body, &old); err != nil {
		w.log.Warn("the heartbeat of a predecessor is not readable", "node", w.cfg.Node, "error", err)
		return nil
	}
	if old.BootID == w.cfg.Boot {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("worker: host name: %w", err)
	}
	age := time.Since(old.Timestamp)
	fresh := age < 2*old.Interval
	// A pid alone says little: in a container the successor often has its predecessor's.
	start, err := proc.StartTime(os.Getpid())
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	switch elsewhere, here := old.Extras.Host != host, old.Extras.Pid == os.Getpid() && old.StartTime == start; {
	case here && !elsewhere && w.cfg.Begin != nil:
		return nil // the generation before this one: it drains and settles by itself
	case elsewhere && fresh, here && fresh:
		return fmt.Errorf("worker: a daemon named %q runs on host %s in process %d (heartbeat %v ago): %s",
			w.cfg.Node, old.Extras.Host, old.Extras.Pid, age.Round(time.Second), rename)
	case elsewhere:
		return nil // nothing can be proved about a process of another host: its leases end by themselves
	case !here && proc.Alive(old.Extras.Pid, old.StartTime):
		return fmt.Errorf("worker: a daemon named %q runs already, pid %d: stop it, or %s", w.cfg.Node, old.Extras.Pid, rename)
	}
	broker, ok := w.store.Broker.(stem.Takeover)
	if !ok {
		return nil
	}
	n, err := broker.ReleaseOwner(ctx, old.Owner)
	if errors.Is(err, stem.ErrUnreachable) {
		w.log.Warn("a part of the store can not be reached: what the daemon before this one held there runs again when its leases end", "error", err)
		err = nil
	}
	if err != nil {
		return fmt.Errorf("worker: take over from pid %d: %w", old.Extras.Pid, err)
	}
	w.log.Info("the daemon before this one was lost: its tasks run again", "pid", old.Extras.Pid, "tasks", n)
	return nil
}
