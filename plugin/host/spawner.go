package host

import (
	"os/exec"
	"runtime"
)

// spawner starts processes from one operating system thread that lives as long as the pool. The kernel ties Pdeathsig to the
// thread that forked, not to the process: a child forked from any other goroutine would be killed when the runtime retires that
// goroutine's thread.
type spawner struct {
	reaper   *Reaper      // told of every process; may be nil
	prepare  func() error // run on the thread before its first start
	requests chan spawn
	done     chan struct{}
}

type spawn struct {
	cmd    *exec.Cmd
	result chan error
}

func newSpawner(reaper *Reaper, prepare func() error) *spawner {
	s := &spawner{reaper: reaper, prepare: prepare, requests: make(chan spawn), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *spawner) run() {
	defer close(s.done)
	// Never unlocked: the thread ends with this goroutine, after the last child.
	runtime.LockOSThread()
	err := s.prepare()
	for r := range s.requests {
		if err != nil {
			r.result <- err
			continue
		}
		r.result <- s.reaper.start(r.cmd)
	}
}

// start is cmd.Start on the spawner's thread.
func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.requests <- spawn{cmd, result}
	return <-result
}

// stop ends the thread and with it any child still there. Nobody may call start any more.
func (s *spawner) stop() {
	close(s.requests)
	<-s.done
}
