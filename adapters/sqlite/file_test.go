package sqlite_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem"
)

func TestABackupIsACompleteStoreAsOfOneMoment(t *testing.T) {
	store := open(t, "sqlite://"+path(t))
	publish(t, store, "a", "b")
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := store.Broker.(stem.FileStore).Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	publish(t, store, "later")
	if st, err := os.Stat(copied); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	loaded, err := open(t, "sqlite://"+copied).Results.Load(t.Context(), "a", "b", "later")
	if err != nil || loaded[0] == nil || loaded[1] == nil || loaded[2] != nil {
		t.Errorf("the copy holds %v, %v", loaded, err)
	}
	if err := store.Broker.(stem.FileStore).Backup(t.Context(), copied); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("over a file that exists: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(copied), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestABackupBesideABusyWriterIsSound(t *testing.T) {
	store := open(t, "sqlite://"+path(t))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				if _, err := store.Broker.Publish(t.Context(), message(t, fmt.Sprint("w", n), 1000)); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	dir := t.TempDir()
	for i := range 5 {
		copied := filepath.Join(dir, fmt.Sprint(i))
		if err := store.Broker.(stem.FileStore).Backup(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
		problems, err := open(t, "sqlite://"+copied).Broker.(stem.FileStore).Check(t.Context())
		if err != nil || len(problems) > 0 {
			t.Errorf("copy %d: %v, %v", i, problems, err)
		}
	}
	close(stop)
	<-stopped
}

func TestVacuumGivesSpaceBackBesideAnotherProcess(t *testing.T) {
	t.Parallel()
	url := "sqlite://" + path(t)
	store, other := open(t, url), open(t, url)
	for n := range 2000 {
		if _, err := store.Broker.Publish(t.Context(), message(t, fmt.Sprint("v", n), 2000)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := store.Broker.(stem.Inspector).Purge(t.Context(), "q"); err != nil || n != 2000 {
		t.Fatal(n, err)
	}
	if err := store.Results.Expire(t.Context(), 0, ids("v", 2000)...); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		m, err := store.Broker.(stem.Maintainer).Maintain(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		more = m.More
	}
	publish(t, other, "kept")
	before, after, err := store.Broker.(stem.FileStore).Vacuum(t.Context())
	if err != nil || after*4 > before {
		t.Errorf("%d bytes before, %d after, %v", before, after, err)
	}
	if loaded, err := other.Results.Load(t.Context(), "kept"); err != nil || loaded[0] == nil {
		t.Errorf("got %v, %v", loaded, err)
	}
}

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(prefix, i)
	}
	return out
}

func TestCheckNamesWhatIsDamaged(t *testing.T) {
	file := path(t)
	store := open(t, "sqlite://"+file)
	publish(t, store, ids("c", 200)...)
	if problems, err := store.Broker.(stem.FileStore).Check(t.Context()); err != nil || len(problems) > 0 {
		t.Fatalf("a sound file: %v, %v", problems, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	forgetRows(t, file)
	problems, err := open(t, "sqlite://"+file).Broker.(stem.FileStore).Check(t.Context())
	if err != nil || len(problems) == 0 {
		t.Errorf("a damaged file: %v, %v", problems, err)
	}
}

// forgetRows takes an index apart: it is declared to hold less than it does.
func forgetRows(t *testing.T, file string) {
	t.Helper()
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, s := range []string{
		"PRAGMA writable_schema = on",
		"UPDATE sqlite_schema SET sql = 'CREATE INDEX tasks_due ON tasks (queue, due) WHERE state = 0' WHERE name = 'tasks_due'",
	} {
		if _, err := raw.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

// Among processes that write and read all the time the log would begin anew only by chance.
func TestTheLogStaysShortAmongBusyHandles(t *testing.T) {
	t.Parallel()
	file := path(t)
	var busy, looking sync.WaitGroup
	for w := range 3 {
		store := open(t, "sqlite://"+file)
		busy.Go(func() {
			for n := range 300 {
				if _, err := store.Broker.Publish(t.Context(), message(t, fmt.Sprint(w, "-", n), 200_000)); err != nil {
					t.Error(err)
				}
				if _, err := store.Results.Load(t.Context(), fmt.Sprint(w, "-", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	stop, longest := make(chan struct{}), int64(0)
	looking.Go(func() {
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				if st, err := os.Stat(file + "-wal"); err == nil {
					longest = max(longest, st.Size())
				}
			}
		}
	})
	busy.Wait()
	close(stop)
	looking.Wait()
	if longest > 80<<20 {
		t.Errorf("180 MB were written, and the log had grown to %d", longest)
	}
}
