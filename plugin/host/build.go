package host

import (
	"os"
	"sync"
	"syscall"
)

// build is the program of a process, read once however many processes run it.
type build struct {
	done chan struct{}
	hash string // set before done; empty: it could not be read
}

// sum is the sha256 of the program in hex; empty: unknown. It waits for the reading, which began with the first process.
func (b *build) sum() string {
	if b == nil {
		return ""
	}
	<-b.done
	return b.hash
}

// builds knows the programs a pool has started, by file and change time. Safe for concurrent use; wait before dropping it.
type builds struct {
	mu      sync.Mutex
	last    fileID
	current *build
	reading sync.WaitGroup
}

type fileID struct {
	dev, ino      uint64
	size          int64
	changed, made syscall.Timespec
}

// of is the build at path now; nil: there is none to read. The reading goes on beside the start of the process.
func (bs *builds) of(path string) *build {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	stat, ok := syscallStat(info)
	if err != nil || !ok {
		_ = f.Close()
		return nil
	}
	id := fileID{uint64(stat.Dev), stat.Ino, stat.Size, stat.Ctim, stat.Mtim}
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if bs.current != nil && bs.last == id {
		_ = f.Close()
		return bs.current
	}
	b := &build{done: make(chan struct{})}
	bs.last, bs.current = id, b
	bs.reading.Go(func() {
		defer close(b.done)
		defer func() { _ = f.Close() }()
		if sum, _, err := fileSum(f); err == nil {
			b.hash = sum
		}
	})
	return b
}

func syscallStat(info os.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return stat, ok
}

func (bs *builds) wait() { bs.reading.Wait() }
