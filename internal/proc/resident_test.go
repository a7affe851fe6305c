package proc

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestResidentMemoryOfAProcessAndOfItsGroup(t *testing.T) {
	own, err := Resident(os.Getpid())
	if err != nil || own < 1<<20 {
		t.Fatalf("this process has %d bytes, %v", own, err)
	}
	cmd := exec.Command("/bin/sh", "-c", "sleep 60 & echo; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	shell, err := Resident(cmd.Process.Pid)
	if err != nil || shell == 0 {
		t.Fatalf("the shell has %d bytes, %v", shell, err)
	}
	if group := ResidentByGroup()[cmd.Process.Pid]; group <= shell {
		t.Errorf("shell and sleep have %d bytes, the shell alone %d", group, shell)
	}
	if _, err := Resident(1 << 30); err == nil {
		t.Error("nobody has that pid")
	}
}
