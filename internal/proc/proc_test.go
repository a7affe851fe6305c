package proc_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stemd/stem/internal/proc"
)

func TestThisProcessIsAliveUnderItsStartTimeOnly(t *testing.T) {
	start, err := proc.StartTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !proc.Alive(os.Getpid(), start) {
		t.Error("this process should be alive")
	}
	if proc.Alive(os.Getpid(), start+1) {
		t.Error("a process of another start time is another process")
	}
}

func TestAZombieIsDead(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start, err := proc.StartTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if !proc.Alive(cmd.Process.Pid, start) {
		t.Fatal("the child should be alive")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Until Wait the child is a zombie: its entry is there, the process is not. The kill is delivered asynchronously.
	for proc.Alive(cmd.Process.Pid, start) {
		if err := t.Context().Err(); err != nil {
			t.Fatal("the killed child stays alive")
		}
	}
	_ = cmd.Wait()
	if _, err := proc.StartTime(cmd.Process.Pid); err == nil {
		t.Error("a reaped process has no start time")
	}
}
