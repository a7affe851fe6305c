package adaptertest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/stemd/stem"
)

func recordCases() []testCase {
	ref := stem.RecordRef{Kind: "k", Part: "p", ID: "r"}
	return []testCase{
		{rule: "a record is loaded as it was saved, with its version and time", run: func(r *rig) {
			at := r.now().UTC().Truncate(time.Millisecond)
			rec := stem.Record{RecordRef: ref, Due: at.Add(r.span), Tags: []string{"x", "y"}, Body: []byte{0, 0xff}, Expires: at.Add(100 * r.span)}
			v := r.save(stem.RecordWrite{Record: rec})
			got := r.record(ref)
			if got == nil || got.RecordRef != ref || got.Version != v || !got.Due.Equal(rec.Due) || !got.Expires.Equal(rec.Expires) ||
				!slices.Equal(got.Tags, rec.Tags) || !slices.Equal(got.Body, rec.Body) {
				r.Errorf("loaded %+v", got)
			}
			r.near("updated", got.Updated, r.now())
		}},
		{rule: "Load answers one entry per reference, in order, nil for what is unknown", run: func(r *rig) {
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}})
			got, err := r.store.Records.Load(r.ctx, stem.RecordRef{Kind: "k", Part: "p", ID: "no"}, ref, stem.RecordRef{Kind: "k", ID: "r"}, stem.RecordRef{Kind: "l", Part: "p", ID: "r"})
			r.noError(err)
			if len(got) != 4 || got[0] != nil || got[1] == nil || got[2] != nil || got[3] != nil {
				r.Errorf("loaded %+v", got)
			}
		}},
		{rule: "Create conflicts when the record exists", run: func(r *rig) {
			create := stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte("1")}, Op: stem.CreateRecord}
			r.save(create)
			create.Record.Body = []byte("2")
			r.conflict(create)
			if got := r.record(ref); string(got.Body) != "1" {
				r.Errorf("record is %+v", got)
			}
		}},
		{rule: "Replace conflicts unless the version is the expected one", run: func(r *rig) {
			replace := func(v int64, body string) stem.RecordWrite {
				return stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte(body)}, Op: stem.ReplaceRecord, IfVersion: v}
			}
			r.conflict(replace(1, "absent"))
			r.conflict(replace(0, "absent"))
			v1 := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}})
			v2 := r.save(replace(v1, "2"))
			r.conflict(replace(v1, "late"))
			if got := r.record(ref); string(got.Body) != "2" || got.Version != v2 {
				r.Errorf("record is %+v", got)
			}
		}},
		{rule: "Delete deletes, with a version only that one, and deleting nothing is no error", run: func(r *rig) {
			v := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}})
			del := stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.DeleteRecord, IfVersion: v - 1}
			r.conflict(del)
			del.IfVersion = v
			if got := r.save(del); got != 0 {
				r.Errorf("the version of a delete is %d", got)
			}
			if got := r.record(ref); got != nil {
				r.Errorf("record is %+v", got)
			}
			del.IfVersion = 0
			r.save(del)
		}},
		{rule: "an expired record is neither loaded nor listed, and may be created again", run: func(r *rig) {
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref, Expires: r.now().Add(r.span)}})
			r.pass(r.span)
			if got := r.record(ref); got != nil {
				r.Errorf("record is %+v", got)
			}
			if got := r.records(stem.RecordQuery{Kind: "k"}); len(got) > 0 {
				r.Errorf("listed %+v", got)
			}
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.CreateRecord})
		}},
		{rule: "a later write without a due time, tags or an expiry clears them", run: func(r *rig) {
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref, Due: r.now(), Tags: []string{"x"}, Expires: r.now().Add(r.span)}})
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref}})
			r.pass(2 * r.span)
			if got := r.record(ref); got == nil || !got.Due.IsZero() || len(got.Tags) > 0 || !got.Expires.IsZero() {
				r.Errorf("record is %+v", got)
			}
			if got := r.records(stem.RecordQuery{Kind: "k", Tag: "x"}); len(got) > 0 {
				r.Errorf("listed by a tag it no longer has: %+v", got)
			}
		}},
		{rule: "writes of one part are all or none", run: func(r *rig) {
			v := r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte("1")}})
			_, err := r.store.Records.Save(r.ctx,
				stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", Part: "p", ID: "new"}}},
				stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte("2")}},
				stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.CreateRecord})
			r.isError(err, stem.ErrConflict)
			if got := r.record(ref); got == nil || got.Version != v || string(got.Body) != "1" {
				r.Errorf("record is %+v", got)
			}
			if got := r.record(stem.RecordRef{Kind: "k", Part: "p", ID: "new"}); got != nil {
				r.Errorf("record is %+v", got)
			}
		}},
		{rule: "writes of one record in one batch see each other", run: func(r *rig) {
			create := stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte("1")}, Op: stem.CreateRecord}
			_, err := r.store.Records.Save(r.ctx, create, create)
			r.isError(err, stem.ErrConflict)
			if got := r.record(ref); got != nil {
				r.Errorf("record is %+v", got)
			}
			r.save(create)
			again := create
			again.Record.Body = []byte("2")
			vs, err := r.store.Records.Save(r.ctx, stem.RecordWrite{Record: stem.Record{RecordRef: ref}, Op: stem.DeleteRecord}, again)
			r.noError(err)
			if got := r.record(ref); got == nil || string(got.Body) != "2" || got.Version != vs[1] {
				r.Errorf("record is %+v, versions %v", got, vs)
			}
		}},
		{rule: "Save answers the new versions in the order of the writes", run: func(r *rig) {
			vs, err := r.store.Records.Save(r.ctx,
				stem.RecordWrite{Record: stem.Record{RecordRef: ref}},
				stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", Part: "q", ID: "x"}}, Op: stem.DeleteRecord},
				stem.RecordWrite{Record: stem.Record{RecordRef: stem.RecordRef{Kind: "k", Part: "o", ID: "y"}}})
			r.noError(err)
			if len(vs) != 3 || vs[0] != r.record(ref).Version || vs[1] != 0 || vs[2] != r.record(stem.RecordRef{Kind: "k", Part: "o", ID: "y"}).Version {
				r.Errorf("versions are %v", vs)
			}
		}},
		{rule: "a record that is too large or has too many tags is refused", run: func(r *rig) {
			size := (*stem.SizeError)(nil)
			for _, rec := range []stem.Record{{RecordRef: ref, Body: make([]byte, stem.MaxRecord+1)}, {RecordRef: ref, Tags: make([]string, stem.MaxTags+1)}} {
				if _, err := r.store.Records.Save(r.ctx, stem.RecordWrite{Record: rec}); !errors.As(err, &size) {
					r.Errorf("error is %v, want a SizeError", err)
				}
			}
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: make([]byte, stem.MaxRecord), Tags: []string{"1", "2", "3", "4"}}})
		}},
		{rule: "of concurrent writers each version is replaced by one", run: func(r *rig) {
			const writers, rounds = 4, 25
			r.save(stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte("0")}})
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for done := 0; done < rounds; {
						recs, err := r.store.Records.Load(r.ctx, ref)
						if err != nil {
							r.Error(err)
							return
						}
						n, _ := strconv.Atoi(string(recs[0].Body))
						_, err = r.store.Records.Save(r.ctx, stem.RecordWrite{
							Record: stem.Record{RecordRef: ref, Body: fmt.Append(nil, n+1)}, Op: stem.ReplaceRecord, IfVersion: recs[0].Version,
						})
						if err == nil {
							done++
						} else if !errors.Is(err, stem.ErrConflict) {
							r.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if got := string(r.record(ref).Body); got != strconv.Itoa(writers*rounds) {
				r.Errorf("counted %s, want %d", got, writers*rounds)
			}
		}},
	}
}

// save applies one write and returns the new version.
func (r *rig) save(w stem.RecordWrite) int64 {
	r.Helper()
	vs, err := r.store.Records.Save(r.ctx, w)
	r.noError(err)
	if len(vs) != 1 {
		r.Fatalf("one write gave versions %v", vs)
	}
	return vs[0]
}

// conflict says that a write must be refused.
func (r *rig) conflict(w stem.RecordWrite) {
	r.Helper()
	_, err := r.store.Records.Save(r.ctx, w)
	r.isError(err, stem.ErrConflict)
}

func (r *rig) record(ref stem.RecordRef) *stem.Record {
	r.Helper()
	out, err := r.store.Records.Load(r.ctx, ref)
	r.noError(err)
	if len(out) != 1 {
		r.Fatalf("loading one record gave %d", len(out))
	}
	return out[0]
}

// records is the first page of a list.
func (r *rig) records(q stem.RecordQuery) []stem.Record {
	r.Helper()
	page, err := r.store.Records.List(r.ctx, q)
	r.noError(err)
	return page.Items
}
