package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
)

// scanned is a step of a plan that reads a whole table, or all that a namespace has in it.
var scanned = regexp.MustCompile(`^SCAN (tasks|t|results|r|dead|seen|records|uniques|groups|members)$|^SEARCH [a-z]+ USING .* \(ns=\?\)$`)

// A store of a million tasks is as fast as a small one only as long as every statement finds what it wants by an index.
func TestNoStatementOfDaemonsAndProducersReadsAWholeTable(t *testing.T) {
	store, err := Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "stem.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	useEverything(t, store)
	d := store.Broker.(*broker).db
	var queries []string
	for query := range d.stmts.all {
		queries = append(queries, query)
	}
	d.writer.aside(func() {
		for query := range d.writer.stmts {
			queries = append(queries, query)
		}
	})
	explained := 0
	for _, query := range queries {
		if !strings.HasPrefix(query, "BEGIN") && query != "COMMIT" && !strings.HasPrefix(query, "PRAGMA") && !strings.HasPrefix(query, "VACUUM") {
			explained++
			for _, step := range plan(t, d, query) {
				if scanned.MatchString(step) && query != countDead && !strings.Contains(query, "FROM queues") {
					t.Errorf("%s\n%s", step, query)
				}
			}
		}
	}
	if explained < 40 {
		t.Errorf("%d statements were looked at: what uses the store here misses most of it", explained)
	}
}

func plan(t *testing.T, d *db, query string) (steps []string) {
	t.Helper()
	args := make([]any, strings.Count(query, "?"))
	for i := range args {
		args[i] = 1
	}
	err := d.scan(t.Context(), "EXPLAIN QUERY PLAN "+query, func(rows *sql.Rows) error {
		var id, parent, unused int
		var step string
		err := rows.Scan(&id, &parent, &unused, &step)
		steps = append(steps, step)
		return err
	}, args[:parameters(query)]...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return steps
}

var numbered = regexp.MustCompile(`\?\d`)

// parameters is how many a query has: those with numbers may come more than once.
func parameters(query string) int {
	numbers := map[string]bool{}
	for _, n := range numbered.FindAllString(query, -1) {
		numbers[n] = true
	}
	if len(numbers) > 0 {
		return len(numbers)
	}
	return strings.Count(query, "?")
}

// useEverything does each thing that daemons and producers do to a store.
func useEverything(t *testing.T, store stem.Store) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	callback := message(t, "callback", "q")
	check(store.Results.OpenGroups(ctx, stem.Group{ID: "g", Members: []string{"0", "1"}, Callback: &callback}))
	ref := stem.RecordRef{Kind: "k", Part: "p", ID: "r"}
	kinds := []stem.Kind{stem.Done, stem.Dead, stem.Retry, stem.Hold, stem.Release, stem.Park, stem.Move, stem.AckEarly}
	for i, kind := range kinds {
		m := message(t, fmt.Sprint(i), "q")
		m.Unique = stem.Reservation{Key: fmt.Sprint("u", i)}
		_, err := store.Broker.Publish(ctx, m)
		check(err)
		ds, err := store.Broker.Claim(ctx, stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "o/1"})
		check(err)
		if len(ds) != 1 {
			t.Fatalf("claimed %d", len(ds))
		}
		_, err = store.Broker.Extend(ctx, stem.Lease{Receipt: ds[0].Receipt, For: time.Minute})
		check(err)
		s := stem.Settlement{Receipt: ds[0].Receipt, Kind: kind, At: time.Now().Add(time.Hour), Queue: "elsewhere", Reason: "why"}
		status := stem.StatusWrite{Status: stem.Status{Name: m.Name, Queue: m.Queue, State: stem.Succeeded}}
		if kind == stem.Dead {
			status.Status.State = stem.Failed
		}
		if kind == stem.Done || kind == stem.Dead {
			s.Result, s.Tally = &status, &stem.Tally{Group: "g", State: status.Status.State}
			s.Then = []stem.Message{message(t, fmt.Sprint("then", i), "then")}
			s.Save = []stem.RecordWrite{{Record: stem.Record{RecordRef: ref, Due: time.Now(), Expires: time.Now().Add(time.Hour), Tags: []string{"a"}}}}
		}
		errs, err := store.Broker.Settle(ctx, s)
		check(err)
		check(errs[0])
		if kind == stem.Release { // makes room for the next
			_, err = store.Broker.(stem.Inspector).Purge(ctx, "q")
			check(err)
		}
	}
	_, err := store.Results.Load(ctx, "0", "2")
	check(err)
	_, err = store.Results.LoadGroups(ctx, "g")
	check(err)
	check(store.Results.Expire(ctx, time.Hour, "0"))
	_, err = store.Records.Load(ctx, ref)
	check(err)
	for _, q := range []stem.RecordQuery{{Kind: "k", Part: &ref.Part}, {Kind: "k", AfterVersion: 1}, {Kind: "k", DueBefore: time.Now()}} {
		_, err = store.Records.List(ctx, q)
		check(err)
	}
	check(store.Bus.Send(ctx, "topic", nil))
	_, err = store.Broker.(stem.Takeover).ReleaseOwner(ctx, "o/1")
	check(err)
	_, err = store.Broker.(stem.Maintainer).Maintain(ctx)
	check(err)
	_, err = store.Broker.(stem.Inspector).Queues(ctx)
	check(err)
}

func message(t *testing.T, id, queue string) stem.Message {
	t.Helper()
	m, err := stem.BuildMessage("stem", stem.NewHeader("t", stem.TaskID(id), stem.Queue(queue)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
