package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
	msg := saidBy(err)
	if d.apart && isAway(err) {
		err = fmt.Errorf("%w: %w", stem.ErrUnreachable, err)
	}
	for _, known := range advices {
		if !strings.HasPrefix(msg, known.prefix) {
			continue
		}
		advice := known.advice
		if advice == namePrimary && (d.elected || d.apart || d.sharded) {
			advice = findsPrimary
		}
		if known.kind != nil {
			return fmt.Errorf("%s: %w: %s: %w", d.info, known.kind, advice, err)
		}
		return fmt.Errorf("%s: %s: %w", d.info, advice, err)
	}
	if d.elected && isHungUp(err) {
		return fmt.Errorf("%s: %s: %w", d.info, hungUpElected, err)
	}
	if advice := adviseNet(err); strings.HasSuffix(advice, "?") {
		return fmt.Errorf("%s: %s %w", d.info, advice, err)
	} else if advice != "" {
		return fmt.Errorf("%s: %s: %w", d.info, advice, err)
	}
	if advice := adviseTLS(err, d.opts.TLS); advice != "" {
		return fmt.Errorf("%s: %s: %w", d.info, advice, err)
	}
	return fmt.Errorf("%s: %w", d.info, err)
}

// saidBy is what the server itself said, without what the client says around it, as it does when the server refuses a new connection. What
// Sentinels say is about them and not about the server.
func saidBy(err error) string {
	var server redis.Error
	if !ofSentinels(err) && errors.As(err, &server) {
		return server.Error()
	}
	return err.Error()
}

func ofSentinels(err error) bool { return strings.Contains(err.Error(), "all sentinels specified") }

const (
	namePrimary = "this is a replica: connect to the primary, or through Sentinel"
	// findsPrimary is instead of it where Sentinels, or the nodes of a Cluster, say who the primary is.
	findsPrimary = "the server is a replica, or has just become one: the store looks for the new primary and goes on there by itself"
	// hungUpElected is of connections that were given up, as all are to a server that is the primary no more.
	hungUpElected = "the connection was given up, as when another server becomes the primary: the store goes on there by itself; " +
		"what was under way may have been done or not"
)

const wantsPassword = "the server wants a password: put user and password into the URL"

// lacksRight says where more is told: of a command within a script the server names neither it nor the key.
const lacksRight = "the user lacks a permission: see the ACL in docs/redis.md; ACL LOG on the server names what is missing"

// advices says what to do about an error of the server that begins like this.
var advices = [...]struct {
	prefix string
	kind   error // nil: none that a caller decides by
	advice string
}{
	{"OOM ", stem.ErrStoreFull, "raise maxmemory, or let results live shorter"},
	{"READONLY ", stem.ErrReadOnly, namePrimary},
	{"UNBLOCKED ", nil, namePrimary}, // to a wait, when the server becomes a replica
	{"MISCONF ", stem.ErrReadOnly, "the server can not write to its disk: look at its log"},
	{"NOREPLICAS ", stem.ErrReadOnly, "fewer replicas are well than min-replicas-to-write wants: look at the replicas"},
	{"NOAUTH", nil, wantsPassword},
	{"ERR Protocol error: unauthenticated", nil, wantsPassword}, // to a command with more arguments than it reads from strangers
	{"WRONGPASS", nil, "user or password are wrong"},
	{"NOPERM", nil, lacksRight},
	{"ERR The user executing the script can't", nil, lacksRight}, // and says nothing of a permission itself
	{"LOADING ", stem.ErrStarting, "the server is still reading its data: it answers when it has done"},
	{"BUSY ", nil, "a script of somebody runs for very long: SCRIPT KILL ends one that has written nothing"},
	{"MASTERDOWN ", nil, "this is a replica that has lost its primary: connect to the primary, or through Sentinel"},
	{"CLUSTERDOWN ", nil, "a node of the Cluster is away: look at CLUSTER NODES"},
	{"ERR max number of clients reached", nil, "raise maxclients of the server, or take fewer connections with pool=N in the URL"},
	{"ERR DB index is out of range", nil, "the server has no database of that number: its setting databases says how many there are"},
	{"ERR This instance has cluster support disabled", nil, "this server is not in a Cluster: take cluster=true out of the URL"},
}

// adviseNet is what to do about a connection that does not come about or answer; empty: it is another error.
func adviseNet(err error) string {
	sentinels := ofSentinels(err)
	switch {
	case sentinels && strings.Contains(err.Error(), "unknown command 'sentinel'"):
		return "what listens there is no Sentinel: with master= the URL names Sentinels, whose port is usually 26379"
	case sentinels && strings.Contains(err.Error(), "NOAUTH"):
		return "the Sentinels want a password: put sentinel_password, and sentinel_user if there is one, into the URL"
	case sentinels && strings.Contains(err.Error(), "WRONGPASS"):
		return "the Sentinels refuse sentinel_user or sentinel_password of the URL; user and password before the @ are those of the primary"
	case sentinels && errors.Is(err, redis.Nil):
		return "these Sentinels watch no primary of the name that master= says: SENTINEL MASTERS lists them"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return "nobody listens there, is Redis running?"
	case brokeOff(err), isHungUp(err):
		return "the connection broke: what was under way may have been done or not"
	case isNet(err) && isTimeout(err):
		return "no answer in time: is the server stopped, overloaded or cut off?"
	}
	return ""
}

// brokeOff says that a connection ended before its answer came.
func brokeOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// isHungUp says that this side closed the connection under a call.
func isHungUp(err error) bool { return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) }

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
