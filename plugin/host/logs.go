package host

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	"github.com/stemd/stem/plugin/wire"
)

// readLogs passes on what handlers log. A plugin without the stream logs nothing.
func (p *process) readLogs(ctx context.Context, service pluginv1.PluginServiceClient) {
	stream, err := service.Logs(ctx, &pluginv1.LogsRequest{})
	if err != nil {
		return
	}
	pid, sink := p.child.id.Pid, p.pool.sink
	for {
		batch, err := stream.Recv()
		if err != nil {
			return
		}
		for _, m := range batch.GetRecords() {
			sink.Log(p.logged(m.GetSeq()), wire.Log(m, pid))
		}
		if n := batch.GetDropped(); n > 0 {
			sink.Log(plugin.Attempt{}, plugin.LogRecord{
				Time: time.Now(), Level: int(slog.LevelWarn), Pid: pid,
				Message: fmt.Sprintf("%d log records dropped: the handlers log faster than they are read", n),
			})
		}
	}
}

// logged is the attempt a record belongs to: held, or just settled, then without its body.
func (p *process) logged(seq uint64) plugin.Attempt {
	if a, ok := p.attempt(seq); ok {
		return a
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.recent.find(seq)
}

// recent remembers the attempts settled last: their records may come after their outcomes, on the other stream.
type recent struct {
	ring [128]struct {
		seq     uint64
		attempt plugin.Attempt
	}
	next int
}

func (r *recent) add(h *held) {
	e := &r.ring[r.next%len(r.ring)]
	r.next++
	e.seq, e.attempt = h.seq, h.Attempt
	e.attempt.Header, e.attempt.Body = nil, nil
}

// find returns the zero Attempt when seq is unknown.
func (r *recent) find(seq uint64) plugin.Attempt {
	if seq != 0 {
		for i := range r.ring {
			if r.ring[i].seq == seq {
				return r.ring[i].attempt
			}
		}
	}
	return plugin.Attempt{}
}
