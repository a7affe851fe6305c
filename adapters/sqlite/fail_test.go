package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/sqlite"
)

func path(t *testing.T) string { return filepath.Join(t.TempDir(), "sub", "stem.db") }

func message(t testing.TB, id string, body int) stem.Message {
	t.Helper()
	h := stem.NewHeader("t", stem.TaskID(id), stem.Queue("q"))
	m, err := stem.BuildMessage("stem", h, []byte(strings.Repeat("x", body)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func publish(t testing.TB, store stem.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		out, err := store.Broker.Publish(t.Context(), message(t, id, 10))
		if err != nil || out[0].Err != nil {
			t.Fatal(err, out)
		}
	}
}

func TestTheFileAndItsDirectoryAreTheOwnersAlone(t *testing.T) {
	file := path(t)
	publish(t, open(t, "sqlite://"+file), "a")
	for name, want := range map[string]fs.FileMode{file: 0o600, file + "-wal": 0o600, file + "-shm": 0o600, filepath.Dir(file): 0o700} {
		st, err := os.Stat(name)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", name, st.Mode().Perm(), err, want)
		}
	}
}

func TestWhatCanNotBeAStoreIsRefusedWithItsPath(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]error{
		"sqlite://" + garbage:               stem.ErrCorrupt,
		"sqlite://" + t.TempDir():           nil,
		"sqlite:///proc/stem.db":            nil,
		"sqlite://":                         nil,
		"sqlite:///x?synchronous=sometimes": nil,
		"sqlite:///x?max_page_count=-1":     nil,
		"sqlite:///x?cache=big":             nil,
		"redis:///x":                        nil,
	} {
		_, err := sqlite.Open(t.Context(), url)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", url, err, want)
		}
	}
}

func TestAFileOfANewerProgramIsLeftAlone(t *testing.T) {
	file := path(t)
	if err := open(t, "sqlite://"+file).Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), "sqlite://"+file); err == nil || !strings.Contains(err.Error(), "schema 99 is newer") {
		t.Errorf("got %v", err)
	}
}

func TestAFullStoreSaysSoKeepsWhatItHasAndGoesOnWhenThereIsRoom(t *testing.T) {
	file := path(t)
	store := open(t, "sqlite://"+file+"?max_page_count=120")
	accepted := 0
	var err error
	for err == nil {
		if _, err = store.Broker.Publish(t.Context(), message(t, fmt.Sprint(accepted), 2000)); err == nil {
			accepted++
		}
	}
	if !errors.Is(err, stem.ErrStoreFull) || !strings.Contains(err.Error(), file) {
		t.Fatalf("after %d tasks: %v", accepted, err)
	}
	ds, err := store.Broker.Claim(t.Context(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 10, Owner: "o"})
	if err != nil || len(ds) != 10 {
		t.Fatalf("claimed %d of a full store: %v", len(ds), err)
	}
	for _, d := range ds {
		settle(t, store, stem.Settlement{Receipt: d.Receipt})
	}
	publish(t, store, "later")
	counts, err := store.Broker.(stem.Inspector).Queues(t.Context())
	if err != nil || len(counts) != 1 || counts[0].Ready != accepted-10+1 {
		t.Errorf("%d were accepted, 10 settled, 1 published: %+v, %v", accepted, counts, err)
	}
}

func settle(t testing.TB, store stem.Store, s stem.Settlement) {
	t.Helper()
	errs, err := store.Broker.Settle(t.Context(), s)
	if err = errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
}

// lock takes the write lock of a file as another process would.
func lock(t *testing.T, file string) (release func()) {
	t.Helper()
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := raw.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		if err = errors.Join(err, conn.Close(), raw.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestALockOfAnotherProcessIsWaitedFor(t *testing.T) {
	file := path(t)
	store := open(t, "sqlite://"+file)
	release := lock(t, file)
	done := make(chan error, 1)
	go func() {
		_, err := store.Broker.Publish(context.Background(), message(t, "a", 1))
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("published in spite of the lock: %v", err)
	case <-time.After(50 * time.Millisecond): // long enough that a store without patience would have given up
	}
	release()
	if err := <-done; err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

func TestACallerThatGivesUpBeforeItsTurnChangesNothing(t *testing.T) {
	file := path(t)
	store := open(t, "sqlite://"+file)
	release := lock(t, file)
	first := make(chan error, 1)
	go func() {
		_, err := store.Broker.Publish(context.Background(), message(t, "first", 1))
		first <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() {
		_, err := store.Broker.Publish(ctx, message(t, "second", 1))
		second <- err
	}()
	cancel()
	if err := <-second; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestAStoreOpenedForLookingIsNotWritten(t *testing.T) {
	file := path(t)
	publish(t, open(t, "sqlite://"+file), "a")
	looking := open(t, "sqlite://"+file, func(o *stem.StoreOptions) { o.ReadOnly = true })
	if loaded, err := looking.Results.Load(t.Context(), "a"); err != nil || loaded[0] == nil || loaded[0].State != stem.Queued {
		t.Errorf("got %+v, %v", loaded, err)
	}
	if _, err := looking.Broker.Publish(t.Context(), message(t, "b", 1)); !errors.Is(err, stem.ErrReadOnly) {
		t.Errorf("publish: %v", err)
	}
	if _, err := sqlite.Open(t.Context(), "sqlite://"+path(t), func(o *stem.StoreOptions) { o.ReadOnly = true }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestAPublishOfAnotherHandleWakesAWaitingClaim(t *testing.T) {
	file := path(t)
	here, there := open(t, "sqlite://"+file), open(t, "sqlite://"+file)
	publish(t, there, "first") // the queue exists
	got := make(chan string, 2)
	go func() {
		for range 2 {
			ds, err := here.Broker.Claim(context.Background(), stem.Claim{Queues: []stem.QueueLimit{{Queue: "q"}}, Max: 1, Owner: "o", Wait: 20 * time.Second})
			if err != nil || len(ds) != 1 {
				t.Errorf("claimed %d, %v", len(ds), err)
				got <- ""
				continue
			}
			got <- ds[0].ID
		}
	}()
	if id := <-got; id != "first" {
		t.Errorf("claimed %q", id)
	}
	publish(t, there, "second")
	if id := <-got; id != "second" {
		t.Errorf("claimed %q", id)
	}
}

func TestAfterCloseEverythingSaysClosed(t *testing.T) {
	store := open(t, "sqlite://"+path(t))
	publish(t, store, "a")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Broker.Publish(t.Context(), message(t, "b", 1)); !errors.Is(err, stem.ErrClosed) {
		t.Errorf("publish: %v", err)
	}
	if _, err := store.Results.Load(t.Context(), "a"); !errors.Is(err, stem.ErrClosed) {
		t.Errorf("load: %v", err)
	}
}
