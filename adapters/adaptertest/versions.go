package adaptertest

import (
	"time"

	"github.com/stemd/stem"
)

func versionCases() []testCase {
	ref := stem.RecordRef{Kind: "k", ID: "r"}
	put := stem.RecordWrite{Record: stem.Record{RecordRef: ref}}
	del := stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.DeleteRecord}
	return []testCase{
		{rule: "versions rise with every write", run: func(r *rig) {
			var last int64
			for range 5 {
				v := r.save(put)
				if v <= last {
					r.Errorf("version is %d after %d", v, last)
				}
				last = v
			}
		}},
		{rule: "versions are not reused after a delete", run: func(r *rig) {
			v := r.save(put)
			r.save(del)
			if again := r.save(put); again <= v {
				r.Errorf("version is %d after %d", again, v)
			}
			r.conflict(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.ReplaceRecord, IfVersion: v})
		}},
		{rule: "versions are not reused after an expiry: an expired record's old version never wins", run: func(r *rig) {
			v := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref, Expires: r.now().Add(r.span)}})
			r.pass(r.span)
			r.conflict(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.ReplaceRecord, IfVersion: v})
			if again := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.CreateRecord}); again <= v {
				r.Errorf("version is %d after %d", again, v)
			}
			r.conflict(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.ReplaceRecord, IfVersion: v})
		}},
		{rule: "versions are not reused when the store's clock goes back", needs: settable, run: func(r *rig) {
			v := r.save(put)
			r.save(del)
			r.pass(-time.Hour)
			if again := r.save(put); again <= v {
				r.Errorf("version is %d after %d", again, v)
			}
		}},
		{rule: "a list by version tells what changed since, over all records of a kind", run: func(r *rig) {
			a, b := stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "a"}}, stem.Record{RecordRef: stem.RecordRef{Kind: "k", Part: "p", ID: "b"}}
			r.save(stem.RecordWrite{Record: a})
			v := r.save(stem.RecordWrite{Record: b})
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k"})), "a", "b")
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k", AfterVersion: v})))
			r.save(stem.RecordWrite{Record: a})
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "l", ID: "c"}}})
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k", AfterVersion: v})), "a")
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k"})), "b", "a")
		}},
		{rule: "a list is narrowed by part and tag", run: func(r *rig) {
			for _, rec := range []stem.Record{
				{RecordRef: stem.RecordRef{Kind: "k", ID: "a"}, Tags: []string{"x"}},
				{RecordRef: stem.RecordRef{Kind: "k", Part: "p", ID: "b"}, Tags: []string{"y", "x"}},
				{RecordRef: stem.RecordRef{Kind: "k", Part: "p", ID: "c"}, Tags: []string{"xx"}},
			} {
				r.save(stem.RecordWrite{Record: rec})
			}
			none, p := "", "p"
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k", Part: &none})), "a")
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k", Part: &p})), "b", "c")
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k", Tag: "x"})), "a", "b")
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k", Tag: "x", Part: &p})), "b")
		}},
		{rule: "a list by due time gives those due, earliest first, and none without a due time", run: func(r *rig) {
			now := r.now()
			for id, due := range map[string]time.Duration{"third": 3, "first": 1, "second": 2, "later": 4} {
				r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: id}, Due: now.Add(due * r.span)}})
			}
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "never"}}})
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k", DueBefore: now.Add(3 * r.span)})), "first", "second", "third")
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k", DueBefore: now.Add(3 * r.span), Limit: 1})), "first")
			r.inOrder(recordIDs(r.records(stem.RecordQuery{Kind: "k", DueBefore: now})))
		}},
	}
}

func recordIDs(recs []stem.Record) []string {
	out := []string{}
	for _, rec := range recs {
		out = append(out, rec.ID)
	}
	return out
}
