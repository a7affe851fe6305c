package worker

import (
	"context"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// sayRunning writes that attempts start, where the store does not see it from its queues. It is for people: when it can not
// be written, nothing but the status is late.
func (w *Worker) sayRunning(as []*attempt) {
	now := time.Now()
	for _, a := range as {
		d := w.decision(a, now)
		w.statuses.Add(*d.keep(d.status(stem.Running)), func(struct{}, error) {})
	}
}

// writeStatuses is the collector's.
func (w *Worker) writeStatuses(_ context.Context, writes []stem.StatusWrite) ([]struct{}, error) {
	if err := w.store.Results.Save(w.settler.ctx, writes...); err != nil {
		w.log.Debug("statuses not written", "count", len(writes), "error", err)
	}
	return make([]struct{}, len(writes)), nil
}

// progressEvery is the time between two progress reports of a task that are kept.
const progressEvery = time.Second

// progressReport is a progress report as it is kept.
func progressReport(p *plugin.Progress) map[string]any {
	report := map[string]any{"percent": p.Percent}
	if len(p.Data) > 0 {
		report["data"] = p.Data
	}
	return report
}

// progressLoop keeps the latest progress of each attempt in its status, under "progress" of its meta.
func (w *Worker) progressLoop(ctx context.Context) {
	for pause(ctx, progressEvery, nil) {
		now := time.Now()
		var writes []stem.StatusWrite
		w.inflight.each(func(a *attempt) {
			if a.progress == nil || a.over {
				return
			}
			report := progressReport(a.progress)
			a.progress = nil
			d := w.decision(a, now)
			s := d.status(stem.Running)
			s.Meta = withMeta(s.Meta, map[string]any{"progress": report})
			writes = append(writes, *d.keep(s))
		})
		if len(writes) > 0 {
			if err := w.store.Results.Save(ctx, writes...); err != nil && ctx.Err() == nil {
				w.log.Debug("progress not written", "count", len(writes), "error", err)
			}
		}
	}
}
