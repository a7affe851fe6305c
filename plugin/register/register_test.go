package register_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stemd/stem/plugin/register"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("REGISTER_TEST_CHILD"); path != "" {
		child(path)
	}
	os.Exit(m.Run())
}

// child is a process that dies with one handler returned, one running and one never begun.
func child(path string) {
	r, err := register.Open(path)
	if err != nil {
		panic(err)
	}
	r.Begin(0, 7, time.UnixMicro(1000))
	r.End(0)
	r.Begin(1, 8, time.UnixMicro(2000))
	_ = os.Stdout.Close() // says that the entries are written
	select {}
}

func create(t *testing.T, slots int) (string, *register.Reader) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "register")
	reader, err := register.Create(path, slots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	return path, reader
}

func open(t *testing.T, path string) *register.Register {
	t.Helper()
	r, err := register.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestEntriesOutliveTheProcessThatWroteThem(t *testing.T) {
	path, reader := create(t, 3)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "REGISTER_TEST_CHILD="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = out.Read(make([]byte, 1)) // until the child closes it
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	got, err := reader.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := []register.Entry{
		{Seq: 7, Started: time.UnixMicro(1000), State: register.Done},
		{Seq: 8, Started: time.UnixMicro(2000), State: register.Running},
		{Started: time.UnixMicro(0), State: register.Free},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("slot %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestASlotShowsItsLatestAttemptOnly(t *testing.T) {
	path, reader := create(t, 1)
	r := open(t, path)
	if r.Slots() != 1 {
		t.Fatalf("%d slots, want 1", r.Slots())
	}
	r.Begin(0, 1, time.UnixMicro(10))
	r.End(0)
	if e, ok, err := reader.Find(1); err != nil || !ok || e.State != register.Done {
		t.Fatalf("after End: %+v, %v, %v; want it done", e, ok, err)
	}
	r.Begin(0, 2, time.UnixMicro(20))
	if _, ok, err := reader.Find(1); err != nil || ok {
		t.Errorf("the slot's earlier attempt should be gone, found %v, %v", ok, err)
	}
	e, ok, err := reader.Find(2)
	if err != nil || !ok || e.CPU <= 0 || e != (register.Entry{Seq: 2, Started: time.UnixMicro(20), State: register.Running, CPU: e.CPU}) {
		t.Errorf("got %+v, %v, %v; want attempt 2 running since 20 µs", e, ok, err)
	}
	if own := r.Snapshot()[0]; own != e {
		t.Errorf("the process sees %+v, the host %+v", own, e)
	}
}

// An attempt found running must never carry the start of the slot's previous one: its hard limit would come early.
func TestFindNeverMixesTwoAttempts(t *testing.T) {
	path, reader := create(t, 1)
	r := open(t, path)
	const n = 20000
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := uint64(1); seq <= n; seq++ {
			r.Begin(0, seq, time.UnixMicro(int64(seq)))
			r.End(0)
		}
	})
	for found := false; !found; {
		entries, err := reader.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		e, ok, err := reader.Find(entries[0].Seq)
		if err != nil {
			t.Fatal(err)
		}
		if ok && e.State == register.Running && e.Started.UnixMicro() != int64(e.Seq) {
			t.Fatalf("attempt %d running since %d", e.Seq, e.Started.UnixMicro())
		}
		found = ok && e.Seq == n && e.State == register.Done
	}
	wg.Wait()
}

func TestAProcessThatCutsItsRegisterCostsTheHostAnErrorOnly(t *testing.T) {
	path, reader := create(t, 4)
	if err := os.Truncate(path, 70); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Snapshot(); err == nil || !strings.Contains(err.Error(), "cut") {
		t.Errorf("got %v, want an error that says it was cut", err)
	}
}

func TestOpenRefusesWhatIsNoRegister(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("hello ", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("STEMREG1"), 0o600); err != nil {
		t.Fatal(err)
	}
	cut, _ := create(t, 64)
	if err := os.Truncate(cut, 200); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		text: "not a register", short: "no header", cut: "want 2112 for 64 slots", filepath.Join(dir, "none"): "no such file",
	} {
		if r, err := register.Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %q", filepath.Base(path), r, err, want)
		}
	}
}

func TestCreateRefusesAnExistingFileAndASillySize(t *testing.T) {
	path, _ := create(t, 1)
	if _, err := register.Create(path, 1); err == nil {
		t.Error("an existing file should be refused")
	}
	for _, slots := range []int{0, -1, 1 << 20} {
		if _, err := register.Create(filepath.Join(t.TempDir(), "r"), slots); err == nil {
			t.Errorf("%d slots should be refused", slots)
		}
	}
}

func BenchmarkBeginEnd(b *testing.B) {
	path := filepath.Join(b.TempDir(), "register")
	reader, err := register.Create(path, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	r, err := register.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for b.Loop() {
		r.Begin(0, 1, time.Now())
		r.End(0)
	}
}
