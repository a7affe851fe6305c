package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stemd/stem"
)

var errNoPrimary = errors.New("the Cluster has no primary that answers")

// closePatience is how long close waits for a server to answer.
const closePatience = 2 * time.Second

// db is what lies under one hash tag, and so on one node: a namespace, or a part of a spread one.
type db struct {
	*conn
	keys      keys
	calm      calm
	reckoning atomic.Pointer[reckoning] // nil: none yet
	taken     taken
	offered   atomic.Bool            // what ended the last wait for work
	last      atomic.Int64           // time that something came into an inbox
	filling   atomic.Pointer[string] // a queue in whose inbox there was something before our last message; nil: none
}

// under is the part of a namespace that has a tag of its own.
func (c *conn) under(tag string) *db {
	return &db{conn: c, keys: newKeys(tag)}
}

// conn is one connection pool, seen by one namespace.
type conn struct {
	opts     stem.StoreOptions
	ownClock bool   // the server's time is not used
	info     string // the URL without password
	scripts  scripts
	client   redis.UniversalClient
	prompt   *prompt               // for few calls at a time; nil: none
	waiting  redis.UniversalClient // for blocking calls, so that they never hold up others
	apart    bool                  // of a Cluster: one may be away while others are not
	sharded  bool                  // messages stay on the node of their channel
	elected  bool                  // Sentinels say which server is the primary
	replicas int                   // how many must have what is published
	pageMin  int                   // how many messages a page has at least
	offers   bool                  // what comes alone is offered to who waits
	shelf    shelf
	// encrypted: over TLS; insecure: with any server certificate.
	encrypted, insecure bool
	hub                 *hub
	rings               *rings
	closed              atomic.Bool
	life                context.Context // ends with close
	end                 context.CancelFunc
	starting            sync.Mutex     // held while something begins that close waits for, and while closed is set
	work                sync.WaitGroup // what close waits for
}

// Open connects to the server of a URL; see parse for its forms. It fails when the server does not answer.
func Open(ctx context.Context, rawURL string, opts ...stem.StoreOption) (stem.Store, error) {
	return open(ctx, rawURL, pageMin, opts)
}

func open(ctx context.Context, rawURL string, pageMin int, opts []stem.StoreOption) (stem.Store, error) {
	t, err := parse(rawURL)
	if err != nil {
		return stem.Store{}, fmt.Errorf("redis: open: %w", err)
	}
	return t.open(ctx, pageMin, opts)
}

func (t *target) open(ctx context.Context, pageMin int, opts []stem.StoreOption) (stem.Store, error) {
	o := stem.NewStoreOptions(opts...)
	if err := stem.CheckName("namespace", o.Namespace); err != nil {
		return stem.Store{}, fmt.Errorf("redis: open: %w", err)
	}
	if strings.ContainsAny(o.Namespace, "{}") {
		return stem.Store{}, fmt.Errorf("redis: open: namespace %q has a brace: they mark the part of a key that decides about its node", o.Namespace)
	}
	if err := t.secure(o.TLS); err != nil {
		return stem.Store{}, fmt.Errorf("redis: open: %w", err)
	}
	f := &fuses{of: map[string]*fuse{}}
	c := &conn{
		opts: o, ownClock: !isTimeNow(o.Now), info: t.shown, apart: t.spread, sharded: t.cluster && !t.spread,
		pageMin: pageMin, offers: !t.cluster, client: t.client(f), prompt: t.prompt(), waiting: t.waiter(f), elected: t.options.MasterName != "",
		replicas: t.replicas, encrypted: t.options.TLSConfig != nil, insecure: t.options.TLSConfig != nil && o.TLS.Insecure,
	}
	c.life, c.end = context.WithCancel(context.Background())
	f.c = c
	if c.scripts = plainScripts(); c.sharded {
		c.scripts = shardedScripts()
	}
	c.hub, c.rings = newHub(c), newRings(c)
	d := c.under(o.Namespace)
	version, err := d.greet(ctx, t.options.Addrs[0])
	if err != nil {
		err = d.wrapOpen(ctx, err)
	} else if t.cluster {
		err = d.wrap("open", d.settleLayout(ctx, t.spread))
	}
	if err != nil {
		return stem.Store{}, errors.Join(err, d.close())
	}
	info := stem.StoreInfo{URL: t.shown, Kind: "redis", Version: version, Namespace: o.Namespace, OneFile: true}
	info.Warnings, _ = d.warnings(ctx) // of what does not answer, others tell
	if t.spread {
		info.Version += ", spread over its nodes"
		return d.spread(info), nil
	}
	one := []*db{d}
	return stem.Store{
		Broker: &broker{d}, Results: &results{d, one}, Records: &records{d, one, nil}, Bus: &bus{d}, Info: info,
		ExamineFunc: d.warnings, CloseFunc: d.close,
	}, nil
}

// isTimeNow says whether nobody gave the store a clock.
func isTimeNow(now func() time.Time) bool {
	return now == nil || reflect.ValueOf(now).Pointer() == reflect.ValueOf(time.Now).Pointer()
}

// clock is ARGV[1] of every script: empty means the server's time.
func (d *db) clock() any {
	if d.ownClock {
		return d.opts.Now().UnixMicro()
	}
	return ""
}

// greetPatience is how long the nodes of a Cluster have to say what they are.
const greetPatience = 2 * time.Second

// version is what the server, or any node of a Cluster, says of itself. It fails when that is too old, or not what the URL says.
func (d *db) version(ctx context.Context) (string, error) {
	text, err := d.serverInfo(ctx)
	if _, cluster := d.client.(*redis.ClusterClient); cluster && text == "" && isAway(err) && ctx.Err() == nil {
		text, err = d.serverInfo(ctx) // what nodes there are was asked of one that is silent; it is known as that now
	}
	if text == "" {
		return "", cmp.Or(err, errNoPrimary)
	}
	info := readInfo(text)
	version, mode := cmp.Or(info["redis_version"], "?"), cmp.Or(info["redis_mode"], "standalone")
	err = cmp.Or(tooOld(version), d.misnamed(mode), d.misplaced(info), err)
	return "Redis " + version + ", " + mode, err
}

// misnamed refuses a server that is something else than the URL says. What one node of a Cluster were given as if it were all would be
// seen by nobody who knows the Cluster.
func (d *db) misnamed(mode string) error {
	_, cluster := d.client.(*redis.ClusterClient)
	switch {
	case mode == "sentinel":
		return errors.New("this is a Sentinel, which keeps no tasks: add to the URL master=NAME, the name under which it watches the primary")
	case mode == "cluster" && !cluster:
		return errors.New("this server is a node of a Cluster: add cluster=true to the URL")
	}
	return nil
}

// misplaced refuses a replica that is named as if it were the primary: nothing can be published or claimed there. Behind Sentinel, and in
// a Cluster, it is not by its address that a server is the primary, and one that is not any more is left for the one that is.
func (d *db) misplaced(info map[string]string) error {
	if info["role"] != "slave" || d.apart || d.sharded || d.elected || d.opts.ReadOnly {
		return nil
	}
	return fmt.Errorf("%w: this is a replica, which takes no tasks: name its primary, %s, or the Sentinels, with master=NAME",
		stem.ErrReadOnly, net.JoinHostPort(info["master_host"], info["master_port"]))
}

// serverInfo is what any server there is says. err is nil if there is one that can be worked with.
func (d *db) serverInfo(ctx context.Context) (text string, err error) {
	if _, cluster := d.client.(*redis.ClusterClient); cluster {
		soon, cancel := context.WithTimeout(ctx, greetPatience)
		defer cancel()
		ctx = soon
	}
	var mu sync.Mutex
	ready := false
	err = d.eachServer(ctx, func(ctx context.Context, c *redis.Client) error {
		one, err := c.Info(ctx, "server", "replication").Result()
		if err == nil {
			err = c.Ping(ctx).Err() // which fails where INFO does not: while the server reads its data
		}
		if redis.HasErrorPrefix(err, "MISCONF") {
			err = nil // its disk is full: what is there can be looked at, and each write says so
		}
		mu.Lock()
		defer mu.Unlock()
		text, ready = cmp.Or(text, one), ready || err == nil
		return err
	})
	if ready {
		err = nil
	}
	return text, err
}

// enter begins what close waits for, until work.Done; false: the store is closed.
func (c *conn) enter() bool {
	c.starting.Lock()
	defer c.starting.Unlock()
	if c.closed.Load() {
		return false
	}
	c.work.Add(1)
	return true
}

// start runs fn in a goroutine that close waits for; false: the store is closed.
func (c *conn) start(fn func()) bool {
	if !c.enter() {
		return false
	}
	defer c.work.Done()
	c.besides(fn)
	return true
}

// besides runs fn in a goroutine that close waits for, also when it has begun to: it is for who is waited for himself.
func (c *conn) besides(fn func()) {
	c.work.Add(1)
	go func() {
		defer c.work.Done()
		fn()
	}()
}

func (d *db) close() error {
	d.starting.Lock()
	closed := d.closed.Swap(true)
	d.starting.Unlock()
	if closed {
		return nil
	}
	d.end()
	err := d.hub.close()
	ended := make(chan struct{})
	go func() {
		d.work.Wait()
		close(ended)
	}()
	select { // those who wait for work give back what they are still given
	case <-ended:
	case <-time.After(closePatience):
	}
	soon, cancel := context.WithTimeout(context.Background(), closePatience)
	_ = d.booked(soon) // where that fails it is somebody's until the lease ends
	cancel()
	err = errors.Join(err, d.waiting.Close(), d.client.Close())
	if d.prompt != nil {
		err = errors.Join(err, d.prompt.Close())
	}
	<-ended
	return err
}
