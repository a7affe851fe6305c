package redis

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// sockets is a blocking connection and its other end.
func sockets(t *testing.T) (mine, other net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if mine, err = blocking(c); err != nil {
		t.Fatal(err)
	}
	if other, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = mine.Close(), other.Close() })
	return mine, other
}

func TestABlockingConnectionCarriesWhatItIsGiven(t *testing.T) {
	mine, other := sockets(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // more than a socket holds
	go func() { _, _ = io.Copy(other, other) }()
	go func() { _, _ = mine.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(mine, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("what came back is not what was sent: %v", err)
	}
}

func TestABlockingConnectionHeedsItsLimits(t *testing.T) {
	mine, _ := sockets(t)
	one := make([]byte, 1)
	for _, limit := range []time.Duration{-time.Second, time.Nanosecond, 20 * time.Millisecond, 5 * time.Millisecond} {
		_ = mine.SetReadDeadline(time.Now().Add(limit))
		if _, err := mine.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a read with %s left: %v, want that its deadline has passed", limit, err)
		}
	}
	_ = mine.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	var err error
	for full := make([]byte, 1<<20); err == nil; { // nobody reads
		_, err = mine.Write(full)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write that nobody reads: %v, want that its deadline has passed", err)
	}
}

func TestClosingABlockingConnectionEndsARead(t *testing.T) {
	for range 50 { // before the read, or while it waits
		mine, other := sockets(t)
		reading, ended := make(chan struct{}), make(chan error)
		go func() {
			one := make([]byte, 1)
			_, _ = mine.Read(one)
			close(reading)
			_, err := mine.Read(one)
			ended <- err
		}()
		if _, err := other.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		<-reading
		if err := mine.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Error("the read ended without an error")
		}
	}
}

func TestABlockingConnectionWhoseOtherEndHasGoneSaysSo(t *testing.T) {
	mine, other := sockets(t)
	_ = other.Close()
	if n, err := mine.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v, want the end", n, err)
	}
}
