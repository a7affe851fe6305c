package sdk

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"

	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
)

// logsMax is how many records wait for a host that does not keep up; more are dropped and counted.
const logsMax = 4096

// logs gathers what handlers log, apart from the session, so that a flood delays no outcome.
type logs struct {
	mu      sync.Mutex
	records []*pluginv1.LogRecord
	dropped uint64
	bell    chan struct{} // capacity 1
}

func newLogs() *logs { return &logs{bell: make(chan struct{}, 1)} }

func (l *logs) add(r *pluginv1.LogRecord) {
	l.mu.Lock()
	if len(l.records) < logsMax {
		l.records = append(l.records, r)
	} else {
		l.dropped++
	}
	l.mu.Unlock()
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

// send passes batches to fn until ctx ends.
func (l *logs) send(ctx context.Context, fn func(*pluginv1.LogsResponse) error) error {
	for {
		select {
		case <-l.bell:
		case <-ctx.Done():
			return nil
		}
		for more := true; more; {
			l.mu.Lock()
			n := min(len(l.records), frameItems)
			batch := &pluginv1.LogsResponse{Records: l.records[:n:n], Dropped: l.dropped}
			l.records, l.dropped = l.records[n:], 0
			more = len(l.records) > 0
			if !more {
				l.records = nil
			}
			l.mu.Unlock()
			if err := fn(batch); err != nil {
				return err
			}
		}
	}
}

// logHandler is the slog.Handler of one attempt.
type logHandler struct {
	logs   *logs
	seq    uint64
	attrs  []slog.Attr
	prefix string
}

var _ slog.Handler = (*logHandler)(nil)

// logTextMax bounds a message and its attributes, in bytes.
const logTextMax = 8 << 10

// Enabled implements slog.Handler: the daemon's level decides.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := map[string]any{}
	for _, a := range h.attrs {
		put(attrs, "", a)
	}
	r.Attrs(func(a slog.Attr) bool { put(attrs, h.prefix, a); return true })
	record := &pluginv1.LogRecord{
		Seq: h.seq, Time: r.Time.UnixMicro(), Level: int32(r.Level), Message: r.Message[:min(len(r.Message), logTextMax)],
	}
	if len(attrs) > 0 {
		if b, err := json.Marshal(attrs); err == nil && len(b) <= logTextMax {
			record.Attrs = b
		}
	}
	h.logs.add(record)
	return nil
}

func put(attrs map[string]any, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			put(attrs, prefix, member)
		}
		return
	}
	if a.Key == "" {
		return
	}
	if err, ok := v.Any().(error); ok {
		attrs[prefix+a.Key] = err.Error()
		return
	}
	attrs[prefix+a.Key] = v.Any()
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(as []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append([]slog.Attr{}, h.attrs...)
	for _, a := range as {
		a.Key = h.prefix + a.Key
		c.attrs = append(c.attrs, a)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.prefix += name + "."
	}
	return &c
}
