package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

// wrap says which operation failed and turns the server's errors into what a person can act on. The URL, which may hold a password, is
// never part of it.
func (d *db) wrap(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !isNet(err) {
		return err
	}
	return fmt.Errorf("redis: %s: %w", op, d.explain(err))
}

func isNet(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n != context.DeadlineExceeded //nolint:errorlint // the one value that is both
}

func (d *db) explain(err error) error {
	if errors.Is(err, redis.ErrClosed) || d.closed.Load() {
		return stem.ErrClosed
	}
	msg := err.Error()
	for _, known := range []struct {
		prefix string
		kind   error
		advice string
	}{
		{"OOM ", stem.ErrStoreFull, "raise maxmemory, or let results live shorter"},
		{"READONLY ", stem.ErrReadOnly, "this is a replica: connect to the primary, or through Sentinel"},
		{"MISCONF ", stem.ErrReadOnly, "the server can not write to its disk: look at its log"},
		{"NOAUTH", nil, "the server wants a password: put user and password into the URL"},
		{"WRONGPASS", nil, "user or password are wrong"},
		{"NOPERM", nil, "the user lacks a permission: see the ACL in docs/redis.md"},
		{"LOADING ", nil, "the server is still reading its data"},
	} {
		if !strings.HasPrefix(msg, known.prefix) {
			continue
		}
		if known.kind != nil {
			return fmt.Errorf("%s: %w: %s: %w", d.info, known.kind, known.advice, err)
		}
		return fmt.Errorf("%s: %s: %w", d.info, known.advice, err)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s: nobody listens there, is Redis running? %w", d.info, err)
	}
	if advice := d.adviseTLS(err); advice != "" {
		return fmt.Errorf("%s: %s: %w", d.info, advice, err)
	}
	return fmt.Errorf("%s: %w", d.info, err)
}

// mayWrite refuses a write of a store that was opened for looking only.
func (d *db) mayWrite(op string) error {
	if d.closed.Load() {
		return fmt.Errorf("redis: %s: %w", op, stem.ErrClosed)
	}
	if d.opts.ReadOnly {
		return fmt.Errorf("redis: %s: %w: it was opened for looking only", op, stem.ErrReadOnly)
	}
	return nil
}
