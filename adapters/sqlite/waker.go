package sqlite

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pollEvery is how often waiting looks by itself, should a wake-up be lost.
const pollEvery = time.Second

// waker wakes what waits in this process when this or another process has written. The directory is watched, not the -wal file:
// that one goes when the last connection closes. A process that never waits, as most producers, watches nothing.
type waker struct {
	dir   string
	watch *fsnotify.Watcher
	done  chan struct{}

	mu       sync.Mutex
	bell     chan struct{} // closed by the next ring; nil: nobody waits
	watching bool
}

func newWaker(path string) (*waker, error) {
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &waker{dir: filepath.Dir(path), watch: watch, done: make(chan struct{})}
	go w.run(path + "-wal")
	return w, nil
}

// A commit of another process becomes visible a moment after its last write to the -wal file, by an update of shared memory that
// nobody is told of. So a write rings at once and twice more.
const (
	echoSoon = 300 * time.Microsecond
	echoLate = 3 * time.Millisecond
)

func (w *waker) run(wal string) {
	defer close(w.done)
	echo := time.NewTimer(time.Hour)
	defer echo.Stop()
	late := false
	for {
		select {
		case <-echo.C:
			w.ring()
			if !late {
				late = true
				echo.Reset(echoLate)
			}
		case e, open := <-w.watch.Events:
			if !open {
				return
			}
			if e.Name == wal && (e.Has(fsnotify.Write) || e.Has(fsnotify.Create)) {
				w.ring()
				late = false
				echo.Reset(echoSoon)
			}
		case _, open := <-w.watch.Errors:
			if !open {
				return
			}
			w.ring() // events were lost: look
		}
	}
}

// wait returns a channel that is closed by the next ring. Take it before looking.
func (w *waker) wait() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching {
		// When it can not be watched (no inotify watches left), waiting looks by itself every pollEvery, and watching is tried again.
		w.watching = w.watch.Add(w.dir) == nil
	}
	if w.bell == nil {
		w.bell = make(chan struct{})
	}
	return w.bell
}

func (w *waker) ring() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bell != nil {
		close(w.bell)
		w.bell = nil
	}
}

func (w *waker) close() error {
	err := w.watch.Close()
	<-w.done
	w.ring()
	return err
}
