package redis_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

func TestAServerAsItShouldBeGetsNoWarning(t *testing.T) {
	for name, url := range map[string]string{
		"single": testserver.NewRedis(t).URL(), "cluster": servers.Cluster(t).URL(), "sentinel": servers.Sentinel(t).URL(),
	} {
		if w := open(t, url).Info.Warnings; len(w) > 0 {
			t.Errorf("%s: %q", name, w)
		}
	}
}

func TestAServerThatMayLoseTasksIsNamedWithTheCure(t *testing.T) {
	for _, c := range []struct {
		directives []string
		want       string
	}{
		{[]string{"maxmemory-policy allkeys-lru"}, "set maxmemory-policy noeviction"},
		{[]string{"maxmemory-policy volatile-lru"}, "forgets rate limits when memory is full, and more than they allow is run: set maxmemory-policy noeviction"},
		{[]string{"appendonly no"}, "nothing is kept on disk: when the server dies, every task and result is lost: set appendonly yes"},
		{[]string{"appendonly no", "save 900 1"}, "all since its last snapshot is lost: set appendonly yes"},
		{[]string{"maxmemory 1mb"}, "% full"},
	} {
		got := open(t, testserver.NewRedis(t, c.directives...).URL()).Info.Warnings
		if !slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, c.want) }) || len(got) != 1 {
			t.Errorf("%v: got %q, want only %q", c.directives, got, c.want)
		}
	}
}

func TestAClockThatIsOffIsTold(t *testing.T) {
	fast := func(o *stem.StoreOptions) { o.Now = func() time.Time { return time.Now().Add(time.Minute) } }
	got := open(t, servers.Redis(t).URL(), fast).Info.Warnings
	if len(got) != 1 || !strings.Contains(got[0], "this host's clock is 1m0s off the server's") {
		t.Errorf("got %q", got)
	}
}

func TestAReplicaIsNotOpenedAndItsPrimaryIsNamed(t *testing.T) {
	s := servers.Sentinel(t)
	primary, err := s.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = redis.Open(t.Context(), s.Servers[1].URL())
	wants(t, err, stem.ErrReadOnly, "name its primary, "+primary.Addr+", or the Sentinels, with master=NAME")
	look := func(o *stem.StoreOptions) { o.ReadOnly = true }
	if _, err := open(t, s.Servers[1].URL(), look).Broker.(stem.Inspector).Queues(t.Context()); err != nil {
		t.Errorf("it can not be looked at: %v", err)
	}
}

func TestAPrimaryThatBecameAReplicaIsToldOfAndRefusesWithAnErrorToDecideOn(t *testing.T) {
	server, other := testserver.NewRedis(t), testserver.NewRedis(t)
	store := open(t, server.URL())
	host, port, _ := strings.Cut(other.Addr, ":")
	if err := server.Client.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	got, err := store.Examine(t.Context())
	if err != nil || len(got) != 1 || !strings.Contains(got[0], "replica") || !strings.Contains(got[0], "?master=NAME") {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = store.Broker.Publish(t.Context(), message(t, "a"))
	wants(t, err, stem.ErrReadOnly, "connect to the primary")
}

func TestFewerReplicasThanAPublishWaitsForAreTold(t *testing.T) {
	got := open(t, servers.Redis(t).URL()+"?wait_replicas=2").Info.Warnings
	if len(got) != 1 || !strings.Contains(got[0], "wait_replicas=2, and 0 replicas are connected: every publish fails") {
		t.Errorf("got %q", got)
	}
}

func TestAUserWithoutTheChannelsOfItsNamespaceIsTold(t *testing.T) {
	t.Parallel()
	for _, spread := range []string{"", "on", "off"} {
		url, nodes := "", []*testserver.Redis{testserver.NewRedis(t)}
		if url = strings.Replace(nodes[0].URL(), "redis://", "redis://deaf:secret@", 1); spread != "" {
			c := testserver.NewCluster(t)
			url, nodes = strings.Replace(c.URL(), "redis://", "redis://deaf:secret@", 1)+"&spread="+spread, c.Nodes
		}
		for _, node := range nodes {
			if err := node.SetUser(t.Context(), "deaf", "secret", "~*", "resetchannels", "+@all"); err != nil {
				t.Fatal(err)
			}
		}
		got := open(t, url).Info.Warnings
		if len(got) != 1 || !strings.Contains(got[0], "see the ACL in docs/redis.md") {
			t.Errorf("spread %q: got %q", spread, got)
		}
	}
}

func TestAFullServerRefusesWithAnErrorToDecideOn(t *testing.T) {
	full := testserver.NewRedis(t, "maxmemory 1mb")
	_, err := open(t, full.URL()).Broker.Publish(t.Context(), message(t, "a"))
	wants(t, err, stem.ErrStoreFull, "raise maxmemory")
}

func TestAServerThatCanNotWriteToItsDiskCanBeLookedAt(t *testing.T) {
	server := testserver.NewRedis(t, "save 3600 1", "dbfilename taken.rdb")
	if _, err := open(t, server.URL()).Broker.Publish(t.Context(), message(t, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(server.Dir, "taken.rdb"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := server.Client.BgSave(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "the snapshot has failed", func() bool { return strings.HasPrefix(server.Answer(), "-MISCONF") })
	store := open(t, server.URL())
	if w := store.Info.Warnings; len(w) != 1 || !strings.Contains(w[0], "the last snapshot failed, and the server may refuse writes") {
		t.Errorf("warnings %q", w)
	}
	if q, err := store.Broker.(stem.Inspector).Queues(t.Context()); err != nil || len(q) != 1 || q[0].Ready != 1 {
		t.Errorf("queues %+v, %v", q, err)
	}
	_, err := store.Broker.Publish(t.Context(), message(t, "b"))
	wants(t, err, stem.ErrReadOnly, "the server can not write to its disk: look at its log")
}

func TestAConnectionThatBrokeSaysThatItIsNotKnownWhatWasDone(t *testing.T) {
	proxy, url := behindProxy(t, servers.Redis(t))
	store := open(t, url)
	proxy.CutReply(0)
	_, err := store.Results.Load(t.Context(), "a")
	wants(t, err, io.EOF, "the connection broke: what was under way may have been done or not")
}

// behindProxy is a proxy in front of a server, and the URL of the server through it.
func behindProxy(t *testing.T, server *testserver.Redis) (*testserver.Proxy, string) {
	t.Helper()
	proxy := testserver.NewProxy(t, server.Addr)
	url, err := server.URLBehind(proxy)
	if err != nil {
		t.Fatal(err)
	}
	return proxy, url
}

// manyMessages are more than one script takes.
func manyMessages(t *testing.T) (many []stem.Message) {
	t.Helper()
	for i := range 1500 {
		many = append(many, message(t, fmt.Sprintf("task-%d", i)))
	}
	return many
}

func TestAConnectionThatIsRefusedFailsWhatItWasToCarryWithTheRefusal(t *testing.T) {
	server := testserver.NewRedis(t)
	if err := server.SetUser(t.Context(), "me", "swordfish", "~*", "&*", "+@all"); err != nil {
		t.Fatal(err)
	}
	rotated, bare := open(t, server.UserURL("me", "swordfish", 0)), open(t, server.URL())
	if err := server.SetUser(t.Context(), "me", "open-sesame", "resetpass"); err != nil {
		t.Fatal(err)
	}
	if err := server.Client.ConfigSet(t.Context(), "requirepass", "open-sesame").Err(); err != nil {
		t.Fatal(err)
	}
	if err := server.Client.ClientKillByFilter(t.Context(), "type", "normal", "skipme", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	many := manyMessages(t)
	for store, want := range map[*stem.Store]string{&rotated: "user or password are wrong", &bare: "put user and password into the URL"} {
		for {
			_, err := store.Broker.Publish(t.Context(), many...)
			if err != nil && strings.Contains(err.Error(), "the connection broke") {
				continue // it was one of those that were killed
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %q", err, want)
			}
			break
		}
	}
}

func TestAServerThatIsTooOldIsRefusedWithTheVersionThatIsNeeded(t *testing.T) {
	server := servers.Redis(t)
	info, err := server.Client.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(info, "redis_version:")
	version, _, _ = strings.Cut(version, "\r\n")
	proxy, url := behindProxy(t, server)
	proxy.Replace("redis_version:"+version, "redis_version:6"+version[1:])
	_, err = redis.Open(t.Context(), url)
	if want := "this server is Redis 6" + version[1:] + ", Stem needs 7.0 or newer"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %q", err, want)
	}
	proxy.Replace("redis_version:"+version, "redis_version:8"+version[1:])
	if w := open(t, url).Info.Version; !strings.HasPrefix(w, "Redis 8.") {
		t.Errorf("version %q", w)
	}
}

func TestPublishWaitsForItsReplicas(t *testing.T) {
	t.Parallel()
	s := testserver.NewSentinel(t)
	store := open(t, s.URL()+"&wait_replicas=1")
	if p, err := store.Broker.Publish(t.Context(), message(t, "a")); err != nil || p[0].State != stem.Accepted {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, server := range s.Servers {
		if n, err := server.Client.HLen(t.Context(), "{stem}:bodies").Result(); n != 1 {
			t.Errorf("%s has %d messages, %v", server.Addr, n, err)
		}
	}
	alone := open(t, testserver.NewRedis(t).URL()+"?wait_replicas=1")
	_, err := alone.Broker.Publish(t.Context(), message(t, "a"))
	wants(t, err, stem.ErrUnreplicated, "0 of 1 replicas")
	if p, err := alone.Broker.Publish(t.Context(), message(t, "a")); err == nil {
		t.Errorf("without replicas it said %+v", p)
	}
}

func TestAConnectionThatCanNotBeSaysWhatToDo(t *testing.T) {
	t.Parallel()
	plain := testserver.NewRedis(t)
	if err := plain.Client.ConfigSet(t.Context(), "requirepass", "open-sesame").Err(); err != nil {
		t.Fatal(err)
	}
	withTLS, certs := testserver.NewRedisTLS(t, "tls-auth-clients yes")
	sentinel, cluster, single := servers.Sentinel(t), servers.Cluster(t), testserver.NewRedis(t)
	locked := testserver.NewSentinel(t)
	if err := locked.Sentinel.Client.Do(t.Context(), "ACL", "SETUSER", "default", "resetpass", ">open-sesame").Err(); err != nil {
		t.Fatal(err)
	}
	noUser := strings.Replace(plain.URL(), "redis://", "redis://me:swordfish@", 1)
	for _, c := range []struct {
		what, url string
		tls       stem.TLS
		says      string
	}{
		{"no password", plain.URL(), stem.TLS{}, "put user and password into the URL"},
		{"wrong password", noUser, stem.TLS{}, "user or password are wrong"},
		{"no trust root", withTLS.URL(), stem.TLS{}, "STEM_TLS_CA_CERT"},
		{"another trust root", withTLS.URL(), stem.TLS{CA: certs.StrangerCA}, "not signed by the root in " + certs.StrangerCA + ": name its own with ca (STEM_TLS_CA_CERT)"},
		{"no client certificate", withTLS.URL(), stem.TLS{CA: certs.CA}, "STEM_TLS_CLIENT_CERT"},
		{"another client certificate", withTLS.URL(), stem.TLS{CA: certs.CA, Cert: certs.StrangerCA, Key: certs.StrangerKey}, certs.StrangerCA},
		{"TLS where there is none", strings.Replace(plain.URL(), "redis://", "rediss://", 1), stem.TLS{CA: certs.CA}, "use its TLS port, or redis://: it answers without TLS"},
		{"none where there is TLS", strings.Replace(withTLS.URL(), "rediss://", "redis://", 1), stem.TLS{}, "use rediss://"},
		{"a file that is not there", withTLS.URL(), stem.TLS{CA: "/nonexistent.pem"}, "/nonexistent.pem"},
		{"nobody there", "redis://127.0.0.1:1", stem.TLS{}, "nobody listens there, is Redis running? dial tcp 127.0.0.1:1: connect: connection refused"},
		{"no socket there", "redis+unix:///nonexistent.sock", stem.TLS{}, "nobody listens there, is Redis running? dial unix /nonexistent.sock"},
		{"a database that is not there", single.UserURL("", "", 4711), stem.TLS{}, "no database of that number"},
		{"a server that is in no Cluster", single.URL() + "?cluster=true", stem.TLS{}, "take cluster=true out of the URL"},
		{"a node of a Cluster as a single server", "redis://" + cluster.Nodes[0].Addr, stem.TLS{}, "add cluster=true to the URL"},
		{"a Sentinel as a server", "redis://" + sentinel.Sentinel.Addr, stem.TLS{}, "this is a Sentinel, which keeps no tasks: add to the URL master=NAME"},
		{"a server as a Sentinel", single.URL() + "?master=mymaster", stem.TLS{}, "no Sentinel"},
		{"Sentinels that want a password", locked.URL(), stem.TLS{}, "put sentinel_password, and sentinel_user if there is one, into the URL"},
		{"a wrong password for Sentinels", plain.URL() + "?master=mymaster&sentinel_password=swordfish", stem.TLS{}, "refuse sentinel_user or sentinel_password of the URL"},
		{"a primary that Sentinels do not know", sentinel.URL() + "s", stem.TLS{}, "SENTINEL MASTERS lists them"},
	} {
		store, err := redis.Open(t.Context(), c.url, stem.WithTLS(c.tls))
		if err == nil {
			t.Errorf("%s: it opened %+v", c.what, store.Info)
			_ = store.Close()
			continue
		}
		if msg := err.Error(); !strings.Contains(msg, c.says) || strings.Contains(msg, "swordfish") {
			t.Errorf("%s: %v\nwant %q", c.what, err, c.says)
		}
	}
}

func TestAStoreWorksOverTLSWithAClientCertificate(t *testing.T) {
	server, certs := testserver.NewRedisTLS(t, "tls-auth-clients yes")
	files := stem.TLS{CA: certs.CA, Cert: certs.ClientCert, Key: certs.ClientKey}
	roundTrip(t, open(t, server.URL(), stem.WithTLS(files)))
	files.CA, files.Insecure = "", true
	store := open(t, server.URL(), stem.WithTLS(files))
	roundTrip(t, store)
	if w := store.Info.Warnings; len(w) != 1 || !strings.Contains(w[0], "any server certificate") {
		t.Errorf("warnings %q", w)
	}
}
