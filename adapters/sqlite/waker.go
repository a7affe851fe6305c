package sqlite

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pollEvery is how often waiting looks by itself, should a wake-up be lost.
const pollEvery = time.Second

// news is what a commit may have changed, as a set: whoever waits for something else is not woken.
type news int

const (
	ofTasks   news = 1 << iota // something may be there to claim
	ofResults                  // a status has changed
	ofHints                    // a hint was sent
	ofNobody  news = 0
	ofAll          = ofTasks | ofResults | ofHints
)

// waker wakes what waits in this process when this or another process has written. The directory is watched, not the -wal file:
// that one goes when the last connection closes. A process that never waits, as most producers, watches nothing.
type waker struct {
	dir, wal string
	watch    *fsnotify.Watcher
	foreign  func() bool // whether another process has committed since the last call; nil: always
	done     chan struct{}

	mu       sync.Mutex
	bells    map[news]chan struct{} // closed by the next ring; none: nobody waits
	watching bool
}

// newWaker makes a waker that rings for other processes once run runs.
func newWaker(path string, foreign func() bool) (*waker, error) {
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if foreign == nil {
		foreign = func() bool { return true }
	}
	return &waker{
		dir: filepath.Dir(path), wal: path + "-wal", watch: watch, foreign: foreign, done: make(chan struct{}), bells: map[news]chan struct{}{},
	}, nil
}

// A commit of another process becomes visible a moment after its last write to the -wal file, by an update of shared memory that
// nobody is told of. So a write is followed by a look at once, one soon, again and again while there are writes, and a late one.
const (
	lookSoon = 100 * time.Microsecond
	lookLate = 3 * time.Millisecond
)

func (w *waker) run() {
	defer close(w.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	soon, again := false, false // a look is due soon; there was a write since the last
	for {
		select {
		case <-timer.C:
			w.look()
			switch {
			case again:
				again = false
				timer.Reset(lookSoon)
			case soon:
				soon = false
				timer.Reset(lookLate)
			}
		case e, open := <-w.watch.Events:
			if !open {
				return
			}
			if e.Name != w.wal || !e.Has(fsnotify.Write) && !e.Has(fsnotify.Create) {
				continue
			}
			if again = soon; !soon {
				soon = true
				w.look()
				timer.Reset(lookSoon)
			}
		case _, open := <-w.watch.Errors:
			if !open {
				return
			}
			w.ring(ofAll) // events were lost: look
		}
	}
}

func (w *waker) look() {
	if w.foreign() {
		w.ring(ofAll)
	}
}

// wait returns a channel that is closed by the next ring of a kind. Take it before looking.
func (w *waker) wait(kind news) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching {
		// When it can not be watched (no inotify watches left), waiting looks by itself every pollEvery, and watching is tried again.
		w.watching = w.watch.Add(w.dir) == nil
	}
	bell := w.bells[kind]
	if bell == nil {
		bell = make(chan struct{})
		w.bells[kind] = bell
	}
	return bell
}

func (w *waker) ring(of news) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for kind, bell := range w.bells {
		if kind&of != 0 {
			close(bell)
			delete(w.bells, kind)
		}
	}
}

// close ends run.
func (w *waker) close() error {
	err := w.watch.Close()
	<-w.done
	w.ring(ofAll)
	return err
}
