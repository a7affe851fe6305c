package redis_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/adaptertest"
	"github.com/stemd/stem/internal/testserver"
)

// documentedACL is what docs/redis.md says a user of the namespace "stem" needs.
func documentedACL(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ACL SETUSER stem on >PASSWORD (.+)$`).FindSubmatch(page)
	if m == nil {
		t.Fatal("docs/redis.md shows no ACL SETUSER")
	}
	return strings.Fields(string(m[1]))
}

// TestContractAsTheDocumentedUser runs the whole contract as a user who may do only what the documentation lists.
func TestContractAsTheDocumentedUser(t *testing.T) {
	t.Parallel()
	server := testserver.NewRedis(t)
	rules := documentedACL(t)
	for i, rule := range rules { // the contract's cases keep apart by namespaces of their own
		rules[i] = strings.NewReplacer("{stem}", "{*}", "{stem{", "{*{", "~stem{", "~*{").Replace(rule)
	}
	if err := server.SetUser(t.Context(), "stem", "a:b/c@d", rules...); err != nil {
		t.Fatal(err)
	}
	adaptertest.Run(t, fresh(server.UserURL("stem", "a:b/c@d", 3)), capabilities)
	log, err := server.Client.ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, refused := range log {
		if refused.Object != "config|get" { // which is asked for and can be done without
			t.Errorf("refused: %+v", *refused)
		}
	}
	if n, err := server.Client.DBSize(t.Context()).Result(); n != 0 {
		t.Errorf("database 0 has %d keys, %v: the URL names database 3", n, err)
	}
}

func TestAUserOfOneNamespaceCanNotTouchAnother(t *testing.T) {
	server := testserver.NewRedis(t)
	if err := server.SetUser(t.Context(), "stem", "secret", documentedACL(t)...); err != nil {
		t.Fatal(err)
	}
	mine := server.UserURL("stem", "secret", 0)
	roundTrip(t, open(t, mine))
	_, err := open(t, mine, stem.Namespace("blue")).Broker.Publish(t.Context(), message(t, "a"))
	if err == nil || !strings.Contains(err.Error(), "see the ACL in docs/redis.md; ACL LOG on the server names what is missing") || strings.Contains(err.Error(), "secret") {
		t.Errorf("another namespace: %v", err)
	}
}

func TestTheDocumentedUserWorksOnACluster(t *testing.T) {
	t.Parallel()
	c := testserver.NewCluster(t)
	for _, node := range c.Nodes {
		if err := node.SetUser(t.Context(), "stem", "secret", documentedACL(t)...); err != nil {
			t.Fatal(err)
		}
	}
	roundTrip(t, open(t, strings.Replace(c.URL(), "redis://", "redis://stem:secret@", 1)))
	for _, node := range c.Nodes {
		if log, err := node.Client.ACLLog(t.Context(), 100).Result(); err != nil || len(log) > 1 {
			for _, refused := range log {
				t.Logf("refused: %+v", *refused)
			}
			t.Errorf("%d refusals: %v", len(log), err)
		}
	}
}
