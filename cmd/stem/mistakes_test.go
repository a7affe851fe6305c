package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
)

// waiting is a store with so many tasks that nobody runs, and the program that looks at it.
func waiting(t *testing.T, tasks int) (stem.Store, *program, *bytes.Buffer) {
	t.Helper()
	store, err := memory.Open(t.Context(), "memory://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	for i := range tasks {
		if _, err := stem.NewClient(store).Enqueue(t.Context(), "t", nil, stem.TaskID(fmt.Sprintf("a-task-%04d", i))); err != nil {
			t.Fatal(err)
		}
	}
	out := new(bytes.Buffer)
	return store, &program{stdout: out, stderr: out}, out
}

func TestAQueueThatWaitsForADaemonIsNotWell(t *testing.T) {
	store, p, out := waiting(t, 1)
	if err := p.observeQueues(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "no daemon is running") {
		t.Errorf("printed %q", out)
	}
}

func TestTheBeginningOfAnIdIsLookedForAmongTheLatestOnly(t *testing.T) {
	for tasks, want := range map[int]string{
		1:           "no task a-stranger is known here: it never was, or its result has expired",
		listMax + 1: "no task a-stranger is known here, nor is it how one of the 1000 that changed last begins: it never was, its result has expired, or its whole id is needed",
	} {
		store, p, _ := waiting(t, tasks)
		if _, err := p.find(t.Context(), stem.NewClient(store), "a-stranger"); err == nil || err.Error() != want {
			t.Errorf("with %d tasks: %v", tasks, err)
		}
	}
}

func TestAnInterruptedWaitSaysThatTheTaskGoesOn(t *testing.T) {
	store, p, _ := waiting(t, 1)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	err := p.await(ctx, stem.NewClient(store).Handle("a-task-0000"), time.Now(), 0)
	if err == nil || err.Error() != "interrupted: the task goes on. stem task wait a-task-0000 waits again" {
		t.Errorf("error %v", err)
	}
}
