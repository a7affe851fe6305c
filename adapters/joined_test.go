package adapters_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"testing"

	"github.com/stemd/stem/adapters"
)

func TestWhatManyPartsSayIsSaidOnce(t *testing.T) {
	down := func(why error) error { return fmt.Errorf("maintain: the Cluster is down: %w", why) }
	var parts []error
	for range 64 {
		parts = append(parts, down(io.EOF), nil)
	}
	parts = append(parts, errors.New("another"))
	err := adapters.Joined(adapters.Joined(parts...), nil, adapters.Joined(parts...), errors.New("a third"))
	if want := "maintain: the Cluster is down: EOF (128 times)\nanother (2 times)\na third"; err.Error() != want {
		t.Errorf("it says %q, want %q", err, want)
	}
}

func TestConnectionsThatDifferInOurEndSayTheSame(t *testing.T) {
	broken := func(own, port int) error {
		return &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: own}, Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, Err: io.EOF}
	}
	err := adapters.Joined(broken(1, 7000), broken(2, 7000), broken(3, 7001))
	if want := "read tcp 127.0.0.1:1->127.0.0.1:7000: EOF (2 times)\nread tcp 127.0.0.1:3->127.0.0.1:7001: EOF"; err.Error() != want {
		t.Errorf("it says %q, want %q", err, want)
	}
}

// worded is an error that says the same as others and is none of them.
type worded struct{ error }

func (worded) Error() string   { return "it failed" }
func (w worded) Unwrap() error { return w.error }

func TestJoinedWrapsAlsoWhatItDoesNotSay(t *testing.T) {
	err := fmt.Errorf("maintain: %w", adapters.Joined(worded{io.EOF}, worded{fs.ErrExist}, worded{&fs.PathError{Op: "open", Err: fs.ErrPermission}}))
	if err.Error() != "maintain: it failed (3 times)" {
		t.Errorf("it says %q", err)
	}
	var path *fs.PathError
	if !errors.Is(err, io.EOF) || !errors.Is(err, fs.ErrExist) || !errors.As(err, &path) || errors.Is(err, fs.ErrNotExist) {
		t.Error("it wraps something else than the parts do")
	}
}

func TestNothingJoinedIsNoError(t *testing.T) {
	if err := adapters.Joined(nil, adapters.Joined(), nil); err != nil {
		t.Error(err)
	}
	if err := adapters.Joined(nil, io.EOF); err != io.EOF { //nolint:errorlint // it and nothing around it
		t.Errorf("one error became %q", err)
	}
}
