//go:build unix

package redis

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// blockingConn is a socket whose reads and writes block their thread: the runtime does not know of it. One goroutine uses it at a time, but
// for Close, which ends what is under way.
type blockingConn struct {
	file          *os.File
	raw           syscall.RawConn
	local, remote net.Addr
	read, write   limit
}

var _ net.Conn = (*blockingConn)(nil)

// limit is until when a read or a write may take, and the socket's option for it.
type limit struct {
	by     time.Time // zero: for ever
	option int
	set    time.Duration // what the option is
}

// blocking takes over a connection; the runtime's is closed.
func blocking(c net.Conn) (net.Conn, error) {
	defer func() { _ = c.Close() }()
	sys, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("not a socket")
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, failed := -1, error(nil)
	if err := raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || failed != nil {
		return nil, errors.Join(err, failed)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	b := &blockingConn{file: os.NewFile(uintptr(fd), "socket"), local: c.LocalAddr(), remote: c.RemoteAddr()}
	b.read.option, b.write.option = unix.SO_RCVTIMEO, unix.SO_SNDTIMEO
	if b.raw, err = b.file.SyscallConn(); err != nil {
		_ = b.file.Close()
		return nil, err
	}
	return b, nil
}

func (c *blockingConn) Read(p []byte) (int, error) {
	if err := c.bound(&c.read); err != nil {
		return 0, err
	}
	n, err := c.file.Read(p)
	return n, late(err)
}

func (c *blockingConn) Write(p []byte) (int, error) {
	if err := c.bound(&c.write); err != nil {
		return 0, err
	}
	n, err := c.file.Write(p)
	return n, late(err)
}

// bound has the kernel heed a limit. Limits that hardly differ are the same one, so that the calls of one kind cost nothing.
func (c *blockingConn) bound(l *limit) (err error) {
	var left time.Duration
	if !l.by.IsZero() {
		if left = time.Until(l.by); left <= 0 {
			return os.ErrDeadlineExceeded
		}
	}
	if diff := left - l.set; diff.Abs() <= l.set/16 {
		return nil
	}
	tv := unix.NsecToTimeval(int64(left.Round(time.Microsecond)))
	if left > 0 && left < time.Microsecond {
		tv.Usec = 1 // 0 is for ever
	}
	if cerr := c.raw.Control(func(fd uintptr) { err = unix.SetsockoptTimeval(int(fd), unix.SOL_SOCKET, l.option, &tv) }); cerr != nil {
		return cerr
	}
	if err == nil {
		l.set = left
	}
	return err
}

// late is how the net package says that a limit has passed.
func late(err error) error {
	if errors.Is(err, unix.EAGAIN) {
		return os.ErrDeadlineExceeded
	}
	return err
}

func (c *blockingConn) Close() error {
	_ = c.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }) // ends a read
	return c.file.Close()
}

func (c *blockingConn) SetDeadline(t time.Time) error {
	c.read.by, c.write.by = t, t
	return nil
}

func (c *blockingConn) SetReadDeadline(t time.Time) error  { c.read.by = t; return nil }
func (c *blockingConn) SetWriteDeadline(t time.Time) error { c.write.by = t; return nil }
func (c *blockingConn) LocalAddr() net.Addr                { return c.local }
func (c *blockingConn) RemoteAddr() net.Addr               { return c.remote }

// SyscallConn lets the client see before each call whether the server has gone.
func (c *blockingConn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }
