package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	defaultPort = "6379"
	dialTimeout = 5 * time.Second
	// dials is how often a connection is tried before a call fails.
	dials = 2
	// callTimeout is how long an answer may take; a call that waits for work is given so much more.
	callTimeout = 10 * time.Second
	// slotsEvery is how old what a client knows of a Cluster's nodes may be: nobody tells it when a replica takes over from one that died.
	slotsEvery = 2 * time.Second
	// waiters is how many claims of this process may wait at once.
	waiters = 256
)

// target is what a URL says.
type target struct {
	options redis.UniversalOptions
	cluster bool
	// spread is whether a namespace lies on all nodes of a Cluster.
	spread bool
	// replicas is how many must have a message before its publish returns.
	replicas int
	shown    string // the URL without passwords
}

// Check says whether a URL can be one of a store of this package; nothing is opened.
func Check(rawURL string) error {
	_, err := parse(rawURL)
	return err
}

// errUnreadable shows nothing of the URL: what was taken for a path or a parameter may be a part of the password.
var errUnreadable = errors.New("the URL can not be read: escape special characters of the password, as %40 for @, %2F for / and %23 for #")

// parse reads a store URL:
//
//	redis://user:password@host:6379/0                        one server, database 0
//	rediss://host                                            the same over TLS
//	redis+unix:///run/redis/redis.sock?db=0                  over a unix socket
//	redis://h1:26379,h2:26379/0?master=mymaster              the primary that these Sentinels name
//	redis://h1:6379,h2:6379,h3:6379?cluster=true             a Cluster, some of whose nodes these are
//
// Parameters: cluster=true; spread=off, which keeps a namespace on one node of a Cluster; master=NAME with sentinel_user and sentinel_password; db=N; pool=N, the most connections of one
// process; wait_replicas=N, how many replicas must have a message before Publish returns.
func parse(rawURL string) (*target, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok || scheme != "redis" && scheme != "rediss" && scheme != "redis+unix" {
		return nil, errors.New("the URL must begin with redis://, rediss:// or redis+unix://")
	}
	// Several hosts are no URL for net/url, so they are taken out of it.
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, rest := rest[:end], rest[end:]
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	u, err := url.Parse(scheme + "://" + user + "host" + rest)
	if err != nil {
		return nil, errUnreadable // err may show it
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil || cutInPassword(scheme, user, hosts, u, values) {
		return nil, errUnreadable
	}
	t := &target{options: redis.UniversalOptions{
		Username: u.User.Username(), DialTimeout: dialTimeout, DialerRetries: dials, ReadTimeout: callTimeout, WriteTimeout: callTimeout,
		MaxRetries:            -1, // repeating a claim or a publish is for those who know what it means
		ContextTimeoutEnabled: true, PoolSize: 10 * runtime.GOMAXPROCS(0), DisableIdentity: true,
		PipelinePoolSize: -1, // no connections beside the pool
	}}
	t.options.Password, _ = u.User.Password()
	path := strings.Trim(u.Path, "/")
	if scheme == "redis+unix" {
		t.options.Addrs = []string{u.Path}
		path = ""
	} else {
		for host := range strings.SplitSeq(hosts, ",") {
			if host == "" {
				host = "localhost"
			}
			if _, _, err := net.SplitHostPort(host); err != nil {
				host = net.JoinHostPort(strings.Trim(host, "[]"), defaultPort)
			}
			t.options.Addrs = append(t.options.Addrs, host)
		}
	}
	if scheme == "rediss" {
		t.options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if path != "" {
		if t.options.DB, err = strconv.Atoi(path); err != nil || t.options.DB < 0 {
			return nil, errors.New("the database, what follows the hosts and a slash, must be a number from 0")
		}
	}
	shown := u.Query()
	t.spread = true
	if err := t.parameters(values, shown); err != nil {
		return nil, err
	}
	if len(t.options.Addrs) > 1 && !t.cluster && t.options.MasterName == "" {
		return nil, errors.New("several hosts need cluster=true, or master=NAME for Sentinels")
	}
	if _, said := shown["spread"]; said && !t.cluster {
		return nil, errors.New("spread is for a Cluster: it needs cluster=true")
	}
	t.spread = t.spread && t.cluster
	if t.cluster && t.options.DB != 0 {
		return nil, errors.New("a Cluster has only database 0")
	}
	t.shown = scheme + "://" + hosts + u.Path
	if u.User != nil {
		t.shown = scheme + "://" + u.User.Username() + "@" + hosts + u.Path
	}
	if len(shown) > 0 {
		t.shown += "?" + shown.Encode()
	}
	return t, nil
}

// cutInPassword says whether the password has a character that ends it: then what follows it, up to the @, is found elsewhere.
func cutInPassword(scheme, user, hosts string, u *url.URL, values url.Values) bool {
	if u.Fragment != "" || scheme == "redis+unix" && hosts != "" {
		return true
	}
	if scheme != "redis+unix" && strings.Contains(u.Path, "@") || user == "" && strings.Contains(u.RawQuery, "@") {
		return true
	}
	for key, all := range values {
		if key != "sentinel_user" && key != "sentinel_password" && strings.Contains(key+strings.Join(all, ""), "@") {
			return true
		}
	}
	return false
}

func (t *target) parameters(values, shown url.Values) error {
	for key := range values {
		value := values.Get(key)
		var err error
		switch key {
		case "cluster":
			if t.cluster, err = strconv.ParseBool(value); err != nil {
				err = errors.New("true or false")
			}
		case "spread":
			t.spread, err = onOff(value)
		case "master":
			t.options.MasterName = value
		case "sentinel_user":
			t.options.SentinelUsername = value
		case "sentinel_password":
			t.options.SentinelPassword = value
			shown.Set(key, "xxxxx")
		case "db":
			t.options.DB, err = count(value, 0)
		case "wait_replicas":
			t.replicas, err = count(value, 0)
		case "pool":
			t.options.PoolSize, err = count(value, 1)
		default:
			return fmt.Errorf("unknown parameter %q: known are cluster, spread, master, sentinel_user, sentinel_password, db, pool and wait_replicas", key)
		}
		if err != nil {
			return fmt.Errorf("parameter %s is %q: want %w", key, value, err)
		}
	}
	return nil
}

// onOff reads one of the two words. Its error says what is wanted, as that of count.
func onOff(value string) (bool, error) {
	if value != "on" && value != "off" {
		return false, errors.New("on or off")
	}
	return value == "on", nil
}

// count reads a number that is not below least.
func count(value string, least int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least {
		return 0, fmt.Errorf("a number from %d", least)
	}
	return n, nil
}

func (t *target) client(f *fuses) redis.UniversalClient {
	return newClient(t.options, t.cluster, f.client)
}

// waiter is a client for calls that block at the server.
func (t *target) waiter(f *fuses) redis.UniversalClient {
	o := t.options
	o.PoolSize, o.ReadTimeout, o.ContextTimeoutEnabled = waiters, callTimeout+bellPatience, false
	if t.spread {
		o.PoolSize += listeners // should all parts be on one node
	}
	return newClient(o, t.cluster, f.client)
}

// newClient makes a client; node makes that of a node of a Cluster, nil: as usual.
func newClient(o redis.UniversalOptions, cluster bool, node func(*redis.Options) *redis.Client) redis.UniversalClient {
	if cluster {
		c := o.Cluster()
		c.Addrs = slices.Clone(c.Addrs) // the client appends to it
		c.NewClient, c.ClusterStateReloadInterval = node, slotsEvery
		return redis.NewClusterClient(c)
	}
	return redis.NewUniversalClient(&o)
}
