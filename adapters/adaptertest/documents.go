package adaptertest

import (
	"encoding/json"
	"time"

	"github.com/stemd/stem"
)

// documentCases are what daemons and clients keep in the records.
func documentCases() []testCase {
	return []testCase{
		{rule: "heartbeats are listed by node, the latest of each, until they expire", run: func(r *rig) {
			r.beat("node-b", 1, 100*r.span)
			r.beat("node-a", 2, 100*r.span)
			r.beat("node-b", 3, 100*r.span)
			r.beat("node-c", 4, r.span)
			r.inOrder(r.beating(), "node-a", "node-b", "node-c")
			r.pass(r.span)
			r.inOrder(r.beating(), "node-a", "node-b")
			beats, err := stem.Heartbeats(r.ctx, r.store)
			r.noError(err)
			if beats[1].Inflight != 3 {
				r.Errorf("heartbeats are %+v", beats)
			}
		}},
		{rule: "a later revocation of a task replaces the earlier one, and both ways of reading tell it", run: func(r *rig) {
			client := stem.NewClient(r.store)
			r.add("a", "b")
			r.noError(client.Cancel(r.ctx, "a", stem.CancelOptions{Reason: "first"}))
			r.noError(client.Cancel(r.ctx, "b", stem.CancelOptions{}))
			seen := r.records(stem.RecordQuery{Kind: stem.KindRevocation})
			r.inOrder(recordIDs(seen), "a", "b")
			r.noError(client.Cancel(r.ctx, "a", stem.CancelOptions{Reason: "second", Terminate: true}))
			news := r.records(stem.RecordQuery{Kind: stem.KindRevocation, AfterVersion: seen[1].Version})
			r.inOrder(recordIDs(news), "a")
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: stem.KindRevocation})), "b", "a")
			var got stem.Revocation
			r.noError(json.Unmarshal(news[0].Body, &got))
			if got.Reason != "second" || !got.Terminate || news[0].Version <= seen[0].Version {
				r.Errorf("revocation is %+v at version %d after %d", got, news[0].Version, seen[0].Version)
			}
		}},
		{rule: "a revocation lives by the store's clock, whatever the clock of who revokes says", needs: settable, run: func(r *rig) {
			r.clock.move(20 * 365 * 24 * time.Hour)
			r.add("a")
			r.noError(stem.NewClient(r.store).Cancel(r.ctx, "a", stem.CancelOptions{}))
			if rec := r.record(stem.RecordRef{Kind: stem.KindRevocation, ID: "a"}); rec == nil || !rec.Expires.After(r.now()) {
				r.Errorf("the record is %+v", rec)
			}
		}},
		{rule: "expired records are deleted in their own namespace only", needs: func(c Capabilities) bool { return c.Maintainer && c.Sibling != nil }, run: func(r *rig) {
			here, there := r.store, r.sibling(stem.Namespace("green"))
			ref := stem.RecordRef{Kind: stem.KindRevocation, ID: "a"}
			for _, s := range []stem.Store{here, there} {
				r.store = s
				r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, TTL: r.span})
			}
			r.pass(r.span)
			for _, s := range []stem.Store{here, there} {
				r.store = s
				if m := r.maintain(); m.Records != 1 {
					r.Errorf("deleted %+v", m)
				}
			}
		}},
		{rule: "versions are not reused after an expired record was deleted for good", needs: maintainer, run: func(r *rig) {
			ref := stem.RecordRef{Kind: "k", ID: "r"}
			v := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, TTL: r.span})
			r.pass(r.span)
			if m := r.maintain(); m.Records != 1 {
				r.Errorf("deleted %+v", m)
			}
			if r.clock != nil {
				r.clock.move(-2 * r.span)
			}
			if again := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.CreateRecord}); again <= v {
				r.Errorf("version is %d after %d", again, v)
			}
			r.conflict(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.ReplaceRecord, IfVersion: v})
		}},
		{rule: "epochs are not reused after all that was kept of a task was deleted for good", needs: func(c Capabilities) bool { return c.Maintainer && c.Clock }, run: func(r *rig) {
			r.add("a")
			first := r.one()
			r.settle(stem.Settlement{Receipt: first.Receipt, Kind: stem.Done, Result: result(first, stem.Succeeded)})
			r.pass(r.dead + r.dedupe)
			r.maintain()
			r.clock.move(-2 * (r.dead + r.dedupe))
			r.add("a")
			second := r.one()
			if second.Receipt.Epoch <= first.Receipt.Epoch {
				r.Errorf("epoch is %d after %d", second.Receipt.Epoch, first.Receipt.Epoch)
			}
			r.isError(r.trySettle(stem.Settlement{Receipt: first.Receipt, Kind: stem.Done}), stem.ErrLeaseLost)
		}},
	}
}

func (r *rig) beat(node string, inflight int, ttl time.Duration) {
	r.Helper()
	body, err := json.Marshal(stem.Heartbeat{WorkerID: node, Inflight: inflight})
	r.noError(err)
	r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: stem.KindHeartbeat, ID: node}, Body: body}, TTL: ttl})
}

// beating is the nodes whose heartbeats are there.
func (r *rig) beating() []string {
	r.Helper()
	beats, err := stem.Heartbeats(r.ctx, r.store)
	r.noError(err)
	out := []string{}
	for _, b := range beats {
		out = append(out, b.WorkerID)
	}
	return out
}
