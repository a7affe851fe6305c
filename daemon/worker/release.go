package worker

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

// quarantine is a Runner that takes nothing after its plugin failed too often, until it is released or proves itself.
type quarantine interface {
	Quarantined() bool
	Release()
}

// releaseEvery is how often a quarantined pool's release is looked for.
const releaseEvery = time.Second

// releaseLoop releases quarantined pools of plugins for which somebody has asked. A request is acted on once, then deleted.
func (w *Worker) releaseLoop(ctx context.Context) {
	for pause(ctx, releaseEvery, nil) {
		for _, p := range w.pools {
			q, ok := p.runner.(quarantine)
			if !ok || !q.Quarantined() {
				continue
			}
			ref := stem.RecordRef{Kind: stem.KindRelease, ID: w.cfg.Node + "/" + p.plugin()}
			records, err := w.store.Records.Load(ctx, ref)
			if err != nil || len(records) == 0 || records[0] == nil {
				continue // an outage is told by claims
			}
			for _, same := range w.pools { // all pools of the plugin
				if q, ok := same.runner.(quarantine); ok && same.plugin() == p.plugin() {
					q.Release()
				}
			}
			if _, err := w.store.Records.Save(ctx, stem.RecordWrite{Op: stem.DeleteRecord, Record: stem.Record{RecordRef: ref}}); err != nil && ctx.Err() == nil {
				w.log.Warn("the request to release a plugin stays and may be acted on again", "plugin", p.plugin(), "error", err)
			}
		}
	}
}
