package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// silentAfter is how long a call must have waited in vain for its node to count as silent.
	silentAfter = time.Second
	// probeEvery is the pause between two questions to a silent node, and probePatience how long its answer may take.
	probeEvery, probePatience = 200 * time.Millisecond, time.Second
)

// errSilent refuses a call to a node that has not answered others.
var errSilent = errors.New("it does not answer")

// fuses make the clients of a Cluster refuse calls to a node that is silent, a stopped process or a cut cable, as soon as one has waited for
// it in vain, and to one where nobody listens, which would be dialled again and again: all that does not need the node goes on, and what
// does is not held up by it each time anew. A client that asks who has the node's slots now asks the others.
type fuses struct {
	c  *conn
	mu sync.Mutex
	of map[string]*fuse // by address: what one client has found out holds for the others
}

// fuse is that of one node.
type fuse struct {
	c *conn

	mu    sync.Mutex
	node  *redis.Client
	blown bool
}

// client makes the client of a node. It is called when the first command is on its way.
func (f *fuses) client(opt *redis.Options) *redis.Client {
	node := redis.NewClient(opt)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[opt.Addr] == nil {
		f.of[opt.Addr] = &fuse{c: f.c}
	}
	node.AddHook(f.of[opt.Addr].guarding(node))
	return node
}

// guarding makes it the fuse of this client too, which is the one to ask from now on: another may have been closed.
func (f *fuse) guarding(node *redis.Client) *fuse {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.node = node
	return f
}

// probing marks the question to a silent node.
type probing struct{}

// DialHook implements redis.Hook.
func (f *fuse) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (f *fuse) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := f.guard(ctx, func() error { return next(ctx, cmd) })
		if errors.Is(err, errSilent) {
			cmd.SetErr(err)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (f *fuse) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := f.guard(ctx, func() error { return next(ctx, cmds) })
		if errors.Is(err, errSilent) {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// guard makes a call unless the node is silent, and blows when it turns out to be.
func (f *fuse) guard(ctx context.Context, call func() error) error {
	if ctx.Value(probing{}) != nil {
		return call()
	}
	f.mu.Lock()
	blown, node := f.blown, f.node
	f.mu.Unlock()
	if blown {
		return fmt.Errorf("node %s: %w", node.Options().Addr, errSilent)
	}
	begun := time.Now()
	err := call()
	if err != nil && (time.Since(begun) >= silentAfter && isTimeout(err) || isDead(err)) {
		f.blow()
	}
	return err
}

// isAway says that a node does not answer, or is not yet or no more able to, as far as the error of a call to it can tell.
func isAway(err error) bool {
	return errors.Is(err, errSilent) || isTimeout(err) || isDead(err) ||
		redis.HasErrorPrefix(err, "LOADING") || redis.HasErrorPrefix(err, "CLUSTERDOWN") || redis.HasErrorPrefix(err, "MASTERDOWN")
}

// isDead says that nobody listens at the node's address.
func isDead(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// blow refuses calls until the node answers again.
func (f *fuse) blow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blown {
		return
	}
	f.blown = f.c.start(func() {
		for !f.answers() {
			select {
			case <-f.c.life.Done():
				return
			case <-time.After(probeEvery):
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.blown = false
	})
}

// answers says whether the node answers, or is none of the Cluster any more. One that reads its data says so when it comes to it, and lets
// calls wait until then.
func (f *fuse) answers() bool {
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), probing{}, true), probePatience)
	defer cancel()
	f.mu.Lock()
	node := f.node
	f.mu.Unlock()
	err := node.Ping(ctx).Err()
	return !isTimeout(err) && !isDead(err) && !redis.HasErrorPrefix(err, "LOADING")
}
