package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tailSize     = 64 << 10 // kept of a process's last words
	maxLine      = 4 << 10  // longer lines are cut, with a count
	linesPerSec  = 500      // passed on; the rest is counted
	maxHandshake = 4 << 10
	wordsSize    = 2 << 10 // of the last words, in an error message
)

// announcement is how a Go runtime begins to tell that it dies; pages of stacks follow.
var announcement = regexp.MustCompile(`(?m)^(panic: |fatal error: |SIG[A-Z]+: )`)

// drain copies what comes through the pipe to w, in chunks, whatever the length of its lines, until the far end is closed or,
// after ended, until nothing is left in it: a grandchild may hold the far end for ever.
func drain(r *os.File, w io.Writer, ended <-chan struct{}) {
	stop := make(chan struct{})
	var kick sync.WaitGroup
	kick.Go(func() {
		select {
		case <-ended:
			_ = r.SetReadDeadline(time.Now())
		case <-stop:
		}
	})
	defer func() {
		close(stop)
		kick.Wait()
		_ = r.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		_, _ = w.Write(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			leftover(r, w, buf)
			return
		}
		if err != nil {
			return
		}
	}
}

// leftover reads what a dead process left in its pipe, without waiting, at most what a pipe holds.
func leftover(r *os.File, w io.Writer, buf []byte) {
	conn, err := r.SyscallConn()
	if err != nil || r.SetReadDeadline(time.Time{}) != nil {
		return
	}
	for left := 1 << 20; left > 0; {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			n, _ = unix.Read(int(fd), buf)
			return true // never wait for more
		})
		if err != nil || n <= 0 {
			return
		}
		_, _ = w.Write(buf[:n])
		left -= n
	}
}

// handshake passes the first line of stdout to go-plugin and the others to next.
type handshake struct {
	pipe *io.PipeWriter
	next io.Writer
	mu   sync.Mutex
	line []byte
	done bool
}

func (h *handshake) Write(p []byte) (int, error) {
	if h.done { // set by this goroutine only
		return h.next.Write(p)
	}
	line, rest, complete := bytes.Cut(p, []byte("\n"))
	h.mu.Lock()
	h.line = append(h.line, line[:min(len(line), maxHandshake-len(h.line))]...)
	complete = complete || len(h.line) >= maxHandshake
	h.mu.Unlock()
	if complete {
		h.close()
	}
	if _, err := h.next.Write(rest); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *handshake) close() {
	if h.done {
		return
	}
	h.done = true
	if len(h.line) > 0 {
		_, _ = h.pipe.Write(append(h.line[:len(h.line):len(h.line)], '\n'))
	}
	_ = h.pipe.Close()
}

// text is what was printed so far.
func (h *handshake) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.TrimSpace(string(h.line))
}

// output is all a process prints: pipes and what go-plugin's stdio stream carries. It keeps the last of stderr and passes
// complete lines on, in bounded memory.
type output struct {
	stdout, stderr *lines
	tail           *tail
	dump           *dump // before stderr, for the pipe
}

// newOutput calls emit with each line, from several goroutines.
func newOutput(emit func(line string)) *output {
	t := &tail{}
	o := &output{stdout: &lines{emit: emit}, stderr: &lines{emit: emit, tail: t}, tail: t}
	o.dump = &dump{next: o.stderr}
	return o
}

func (o *output) flush() {
	o.dump.finish()
	o.stdout.flush()
	o.stderr.flush()
}

// lines is a Writer that cuts its input into lines.
type lines struct {
	emit func(string)
	tail *tail // may be nil

	mu      sync.Mutex
	buf     []byte
	over    int // bytes of the current line beyond maxLine
	second  int64
	passed  int // lines passed on in that second
	dropped int // lines not passed on
}

func (l *lines) Write(p []byte) (int, error) {
	if l.tail != nil {
		l.tail.write(p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().Unix()
	for rest := p; len(rest) > 0; {
		line, after, complete := bytes.Cut(rest, []byte("\n"))
		if complete && len(l.buf) == 0 && l.full(now) { // a flood costs no copies
			l.dropped++
			rest = after
			continue
		}
		keep := min(len(line), maxLine-len(l.buf))
		l.buf = append(l.buf, line[:keep]...)
		l.over += len(line) - keep
		if complete {
			l.end(now)
		}
		rest = after
	}
	return len(p), nil
}

// full says whether no more lines are passed on in the second that is now.
func (l *lines) full(now int64) bool { return l.second == now && l.passed >= linesPerSec }

// end passes a line on, or counts it.
func (l *lines) end(now int64) {
	if now != l.second {
		l.second, l.passed = now, 0
		l.report()
	}
	if l.full(now) {
		l.dropped++
	} else {
		l.passed++
		line := strings.TrimRight(string(l.buf), "\r")
		if l.over > 0 {
			line += fmt.Sprintf("… (%d bytes more)", l.over)
		}
		l.emit(line)
	}
	l.buf, l.over = l.buf[:0], 0
}

func (l *lines) report() {
	if l.dropped > 0 {
		l.emit(fmt.Sprintf("(%d lines dropped: more than %d a second)", l.dropped, linesPerSec))
		l.dropped = 0
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.end(time.Now().Unix())
	}
	l.report()
}

// tail keeps the last tailSize bytes written to it.
type tail struct {
	total atomic.Int64 // bytes written so far
	mu    sync.Mutex
	buf   []byte
}

func (t *tail) write(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.Add(int64(len(p)))
	p = p[max(0, len(p)-tailSize):]
	if len(t.buf)+len(p) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	t.buf = append(t.buf, p...)
}

// since is what was written after the first so many bytes, its last tailSize bytes at most.
func (t *tail) since(mark int64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(max(t.total.Load()-mark, 0), int64(len(t.buf)), tailSize)
	return strings.ToValidUTF8(string(t.buf[int64(len(t.buf))-n:]), "�")
}

// words are the last words worth showing, at most wordsSize bytes: the last lines, and when a Go runtime announced its death
// among what is kept, the announcement before them. Empty: it said nothing.
func (t *tail) words() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.buf[max(0, len(t.buf)-tailSize):]))
	if len(text) <= wordsSize {
		return strings.ToValidUTF8(text, "�")
	}
	room, head := wordsSize, ""
	if all := announcement.FindAllStringIndex(text, -1); len(all) > 0 {
		text = text[all[len(all)-1][0]:]
		if len(text) <= wordsSize {
			return strings.ToValidUTF8(text, "�")
		}
		room = wordsSize / 4
		head = text[:wordsSize-room] + "\n…\n"
	}
	last := text[len(text)-room:]
	if _, whole, ok := strings.Cut(last, "\n"); ok {
		last = whole
	}
	return strings.ToValidUTF8(head+last, "�")
}
