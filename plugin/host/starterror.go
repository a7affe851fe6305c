package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stemd/stem/plugin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// startError says why a process did not become ready.
type startError struct {
	Pool    string
	Command string
	What    string // "exits at start"
	Err     error
	Words   string // last words on stderr
}

func (e *startError) Error() string {
	s := fmt.Sprintf("plugin %s: %s %s", e.Pool, e.Command, e.What)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Words != "" {
		s += "; last words: " + e.Words
	}
	return s
}

func (e *startError) Unwrap() error { return e.Err }

// brief fits a status line: what happened and the first of the last words.
func (e *startError) brief(times int) string {
	words, _, _ := strings.Cut(e.Words, "\n")
	if words == "" && e.Err != nil {
		words = e.Err.Error()
	}
	return fmt.Sprintf("%s (%d times): %s", e.What, times, words)
}

// versionError is a protocol mismatch.
type versionError struct{ Theirs string }

func (e *versionError) Error() string {
	return fmt.Sprintf("speaks protocol %s, this stemd speaks %d; rebuild it with the SDK of this version", e.Theirs, plugin.ProtocolVersion)
}

// explain words why connect failed, from what the process did rather than from what go-plugin says of it. The process is dead.
func (p *process) explain(limit context.Context, err error) error {
	c := p.child
	e := &startError{Pool: p.pool.cfg.Name, Command: p.pool.cfg.Command[0], Words: c.out.tail.words()}
	if !c.started() {
		e.What, e.Err = "can not be started", err
		return e
	}
	line := c.handshake.text()
	fields := strings.Split(line, "|")
	var version *versionError
	switch {
	case errors.As(err, &version):
		return fmt.Errorf("plugin %s: %w", e.Pool, version)
	case len(fields) >= 4 && fields[0] == "1" && fields[1] != fmt.Sprint(plugin.ProtocolVersion):
		return fmt.Errorf("plugin %s: %w", e.Pool, &versionError{Theirs: fields[1]})
	case line != "" && (len(fields) < 4 || fields[0] != "1"):
		e.What = fmt.Sprintf("prints %.100q instead of a handshake: it is no Stem plugin, or prints to stdout before it serves", line)
	case !c.killedByUs():
		e.What, e.Err = "exits at start", errors.New(c.exit())
	case line == "" && limit.Err() != nil:
		e.What = fmt.Sprintf("gives no handshake within %v", p.pool.cfg.Start)
	case line == "":
		e.What = "closes its stdout without a handshake"
	case len(fields) >= 5 && fields[4] != "grpc":
		e.What = fmt.Sprintf("speaks %q, want grpc", fields[4])
	case status.Code(err) == codes.Unimplemented:
		e.What = "is a plugin of another program: it does not serve stem.plugin.v1"
	case limit.Err() != nil:
		e.What, e.Err = fmt.Sprintf("is not ready within %v after a good handshake", p.pool.cfg.Start), err
	default:
		e.What, e.Err = "is not ready after a good handshake", err
	}
	return e
}
