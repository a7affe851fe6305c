package host

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// dumpPatience is how long a process may take to write the stacks of its goroutines before it is killed.
	dumpPatience = 500 * time.Millisecond
	dumpSize     = 64 << 10 // kept of them
	// dumpRoom also takes in what was in the pipe before them.
	dumpRoom = dumpSize + 128<<10
)

// dumpMark begins what a Go runtime writes when it is asked for its stacks.
var dumpMark = []byte("SIGQUIT: quit\n")

// dump stands before the writer of a process's standard error. Once begun it keeps what arrives, the stacks that the process was
// asked for, apart from what the process says of its own accord.
type dump struct {
	next io.Writer

	mu    sync.Mutex
	begun bool
	buf   []byte
}

func (d *dump) Write(p []byte) (int, error) {
	d.mu.Lock()
	if d.begun {
		d.buf = append(d.buf, p[:min(len(p), dumpRoom-len(d.buf))]...)
		d.mu.Unlock()
		return len(p), nil
	}
	d.mu.Unlock()
	return d.next.Write(p)
}

func (d *dump) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun = true
}

// finish passes on what was no dump: everything before the runtime's announcement, or all of it without one. After the last
// Write.
func (d *dump) finish() {
	d.mu.Lock()
	said := d.buf
	d.buf = nil
	if at := bytes.Index(said, dumpMark); at >= 0 {
		d.buf = said[at:min(len(said), at+dumpSize)]
		said = said[:at]
	}
	d.mu.Unlock()
	if len(said) > 0 {
		_, _ = d.next.Write(said)
	}
}

// text of the stacks; empty: none were asked for, or none came. After finish.
func (d *dump) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.ToValidUTF8(string(d.buf), "�")
}
