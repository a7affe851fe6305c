package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// startRedis is `redis NAME DIRECTIVE...` in a script: a server that lives as long as the script, its URL in $NAME and its address in
// $NAME_ADDR. `redis -tls NAME` speaks only TLS, and $NAME_CA, $NAME_CERT, $NAME_KEY and $NAME_STRANGER are files. The directive
// "requirepass" is set when it runs.
func startRedis(ts *testscript.TestScript, _ bool, args []string) {
	var (
		r          *testserver.Redis
		certs      *testserver.Certificates
		err        error
		directives []string
		password   string
	)
	overTLS := args[0] == "-tls"
	if overTLS {
		args = args[1:]
	}
	name := args[0]
	for _, d := range args[1:] {
		if p, ok := strings.CutPrefix(d, "requirepass "); ok {
			password = p
		} else {
			directives = append(directives, d)
		}
	}
	if overTLS {
		r, certs, err = testserver.StartRedisTLS(context.Background(), directives...)
	} else {
		r, err = testserver.StartRedis(context.Background(), directives...)
	}
	ts.Check(err)
	ts.Defer(func() { ts.Check(r.Close()) })
	ts.Setenv(name, r.URL())
	ts.Setenv(name+"_ADDR", r.Addr)
	if certs != nil {
		for suffix, file := range map[string]string{"CA": certs.CA, "CERT": certs.ClientCert, "KEY": certs.ClientKey, "STRANGER": certs.StrangerCA} {
			ts.Setenv(name+"_"+suffix, file)
		}
	}
	if password != "" {
		ts.Check(r.Client.ConfigSet(context.Background(), "requirepass", password).Err())
	}
}

func TestCertificatesThatEndAreToldInTime(t *testing.T) {
	certs, err := testserver.NewCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files := stem.TLS{CA: certs.CA, Cert: certs.ClientCert, Key: certs.ClientKey} // for a day from now
	for _, c := range []struct {
		in     time.Duration
		status string
		says   string
	}{
		{-30 * 24 * time.Hour, "ok", ""},
		{0, "warning", "the client certificate ends in"},
		{48 * time.Hour, "error", "the trust root ended"},
	} {
		got := tlsCheck(files, time.Now().Add(c.in))
		if got.Status != c.status || !strings.Contains(strings.Join(got.Hints, "\n"), c.says) || (len(got.Hints) > 0) != (c.says != "") {
			t.Errorf("in %s: %+v", c.in, got)
		}
	}
}
