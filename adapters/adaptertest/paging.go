package adaptertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stemd/stem"
)

func pagingCases() []testCase {
	return []testCase{
		{rule: "statuses are listed newest update first, live and kept ones together, each once over all pages", run: func(r *rig) {
			var want []string
			for i := range 11 {
				id := fmt.Sprintf("t%02d", i)
				if i%2 == 0 {
					r.finish(id)
				} else {
					r.put(r.msg(id, in("other")))
				}
				r.pass(time.Millisecond)
				want = append([]string{id}, want...)
			}
			r.inOrder(r.statusPages(stem.StatusQuery{Limit: 3}, nil), want...)
			r.inOrder(statusIDs(r.list(stem.StatusQuery{})), want...)
		}},
		{rule: "an update brings a status to the front", run: func(r *rig) {
			r.add("a", "b")
			r.pass(time.Millisecond)
			r.take(owner1)
			r.inOrder(statusIDs(r.list(stem.StatusQuery{})), "a", "b")
		}},
		{rule: "the pages of statuses are filtered by state, queue and name, all together", run: func(r *rig) {
			r.put(r.msg("run", in("b")))
			r.one("b")
			r.finish("done")
			r.put(r.msg("wait"), r.msg("wait-b", in("b")), r.msg("other", named("other.task")))
			for _, c := range []struct {
				q    stem.StatusQuery
				want []string
			}{
				{stem.StatusQuery{State: stem.Running}, []string{"run"}},
				{stem.StatusQuery{State: stem.Succeeded}, []string{"done"}},
				{stem.StatusQuery{State: stem.Queued}, []string{"other", "wait", "wait-b"}},
				{stem.StatusQuery{Queue: "b"}, []string{"run", "wait-b"}},
				{stem.StatusQuery{Name: "other.task"}, []string{"other"}},
				{stem.StatusQuery{State: stem.Queued, Queue: "b", Name: task}, []string{"wait-b"}},
				{stem.StatusQuery{Queue: "none"}, nil},
			} {
				got := statusIDs(r.list(c.q))
				slices.Sort(got)
				if !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
					r.Errorf("%+v gave %v, want %v", c.q, got, c.want)
				}
				c.q.Limit = 1
				got = r.statusPages(c.q, nil)
				slices.Sort(got)
				if !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
					r.Errorf("pages of %+v gave %v, want %v", c.q, got, c.want)
				}
			}
		}},
		{rule: "paging statuses while others come and end leaves out and repeats none of those that stay", run: func(r *rig) {
			for i := range 9 {
				r.put(r.msg(fmt.Sprintf("stay%d", i), in("quiet")))
				r.pass(time.Millisecond)
			}
			n := 0
			got := r.statusPages(stem.StatusQuery{Limit: 2}, func() {
				n++
				r.finish(fmt.Sprintf("other%d", n))
				r.pass(time.Millisecond)
			})
			got = slices.DeleteFunc(got, func(id string) bool { return id[0] == 'o' })
			slices.Sort(got)
			r.inOrder(got, "stay0", "stay1", "stay2", "stay3", "stay4", "stay5", "stay6", "stay7", "stay8")
		}},
		{rule: "records are paged by version, each once, also while others are written", run: func(r *rig) {
			var want []string
			for i := range 7 {
				want = append(want, fmt.Sprintf("r%d", i))
				r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: want[i]}}})
			}
			got := r.recordPages(stem.RecordQuery{Kind: "k", Limit: 2}, func() {
				r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: "r0"}}, Op: stem.DeleteRecord})
			})
			r.inOrder(got, want...)
			r.inOrder(r.recordPages(stem.RecordQuery{Kind: "k", Limit: 1}, nil), want[1:]...)
		}},
		{rule: "records are paged by due time, each once, also those due at the same moment", run: func(r *rig) {
			now := r.now()
			var want []string
			for i := range 7 {
				want = append(want, fmt.Sprintf("r%d", i))
				r.save(stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", ID: want[i]}, Due: now.Add(time.Duration(i/3) * time.Second)}})
			}
			got := r.recordPages(stem.RecordQuery{Kind: "k", DueBefore: now.Add(time.Minute), Limit: 2}, nil)
			slices.Sort(got)
			r.inOrder(got, want...)
		}},
		{rule: "waiting tasks are browsed in the order they would be claimed, in pages", needs: inspector, run: func(r *rig) {
			r.put(r.msg("p1", priority(1)), r.msg("late", r.delayed(2*r.span), priority(9)), r.msg("p5a", priority(5)), r.msg("soon", r.delayed(r.span)),
				r.msg("p0"), r.msg("p5b", priority(5)), r.msg("elsewhere", in("other")))
			var got []string
			q := stem.BrowseQuery{Queue: queue, Limit: 2}
			for {
				page, err := r.inspector().Browse(r.ctx, q)
				r.noError(err)
				for _, s := range page.Items {
					if s.State != stem.Queued || s.Queue != queue {
						r.Errorf("browsed %+v", s)
					}
				}
				got = append(got, statusIDs(page.Items)...)
				if q.Cursor = page.Next; q.Cursor == "" {
					break
				}
			}
			r.inOrder(got, "p5a", "p5b", "p1", "p0", "soon", "late")
		}},
	}
}

// statusPages reads all pages, calling between after each but the last.
func (r *rig) statusPages(q stem.StatusQuery, between func()) []string {
	r.Helper()
	got := []string{}
	for range 100 {
		page, err := r.store.Results.List(r.ctx, q)
		r.noError(err)
		if q.Limit > 0 && len(page.Items) > q.Limit {
			r.Fatalf("a page has %d items, the limit is %d", len(page.Items), q.Limit)
		}
		got = append(got, statusIDs(page.Items)...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return got
		}
		if between != nil {
			between()
		}
	}
	r.Fatalf("the pages do not end: %v", got)
	return nil
}

// recordPages is statusPages for records.
func (r *rig) recordPages(q stem.RecordQuery, between func()) []string {
	r.Helper()
	got := []string{}
	for range 100 {
		page, err := r.store.Records.List(r.ctx, q)
		r.noError(err)
		if q.Limit > 0 && len(page.Items) > q.Limit {
			r.Fatalf("a page has %d items, the limit is %d", len(page.Items), q.Limit)
		}
		got = append(got, recordIDs(page.Items)...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return got
		}
		if between != nil {
			between()
		}
	}
	r.Fatalf("the pages do not end: %v", got)
	return nil
}
