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
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

// reply is an error that a server sent.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

var _ redis.Error = reply("")

const (
	unblocked = reply("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)")
	readonly  = reply("READONLY You can't write against a read only replica.")
)

func TestAnErrorOfAChangeOfThePrimarySaysWhoActs(t *testing.T) {
	closed := &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}
	for name, c := range map[string]struct {
		of   *conn
		err  error
		want string
	}{
		"a wait ended, with Sentinels":    {&conn{elected: true}, unblocked, findsPrimary},
		"a wait ended, in a Cluster":      {&conn{apart: true}, unblocked, findsPrimary},
		"a wait ended, in a part of it":   {&conn{sharded: true}, unblocked, findsPrimary},
		"a wait ended, of the server":     {&conn{}, unblocked, namePrimary},
		"a write, with Sentinels":         {&conn{elected: true}, readonly, findsPrimary},
		"a write, of the server":          {&conn{}, readonly, namePrimary},
		"a connection, with Sentinels":    {&conn{elected: true}, closed, hungUpElected},
		"a connection, of the server":     {&conn{}, closed, "the connection broke"},
		"a blocking one, with Sentinels":  {&conn{elected: true}, &os.PathError{Op: "read", Err: os.ErrClosed}, hungUpElected},
		"the server's end of it, as ever": {&conn{elected: true}, io.EOF, "the connection broke"},
	} {
		d := &db{conn: c.of}
		d.info = "redis://h"
		err := d.wrap("claim", c.err)
		if !strings.HasPrefix(err.Error(), "redis: claim: redis://h: ") || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, stem.ErrReadOnly) != (c.err == readonly) {
			t.Errorf("%s: is it ErrReadOnly? %v", name, err)
		}
	}
}

func TestARefusalOfANewConnectionSaysWhatToDo(t *testing.T) {
	d := &db{conn: &conn{info: "redis://h"}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("failed to authenticate: %w", reply("WRONGPASS invalid username-password pair or user is disabled.")), "user or password are wrong"},
		{fmt.Errorf("failed to initialize connection options: %w", reply("NOAUTH Authentication required.")), wantsPassword},
		{fmt.Errorf("redis: all sentinels specified in configuration are unreachable: %w", reply("WRONGPASS invalid")), "the Sentinels refuse"},
	} {
		if err := d.wrap("claim", c.err); !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.err) {
			t.Errorf("%v", err)
		}
	}
}

// nobody is where no server listens.
type nobody struct{}

func (nobody) refused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func (nobody) DialHook(next redis.DialHook) redis.DialHook { return next }

func (n nobody) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		cmd.SetErr(n.refused())
		return cmd.Err()
	}
}

func (n nobody) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			cmd.SetErr(n.refused())
		}
		return n.refused()
	}
}

func TestAClusterThatIsAwaySaysSoOnceOfAllItsParts(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	client.AddHook(nobody{})
	d := (&conn{info: "redis://h", apart: true, client: client, scripts: plainScripts(), opts: stem.NewStoreOptions()}).under("stem")
	_, err := (&keeper{shards: d.parts(directoryTag)}).Maintain(t.Context())
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasSuffix(err.Error(), fmt.Sprintf(" (%d times)", shardCount)) ||
		!errors.Is(err, stem.ErrUnreachable) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("it says %v", err)
	}
}
