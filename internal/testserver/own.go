package testserver

import "testing"

// NewRedis is a server that a test has for itself, see StartRedis. It ends with the test.
func NewRedis(t testing.TB, directives ...string) *Redis {
	t.Helper()
	r, err := StartRedis(t.Context(), directives...)
	return own(t, r, err)
}

// NewRedisTLS is a server with TLS that a test has for itself, see StartRedisTLS.
func NewRedisTLS(t testing.TB, directives ...string) (*Redis, *Certificates) {
	t.Helper()
	r, certs, err := StartRedisTLS(t.Context(), directives...)
	return own(t, r, err), certs
}

// NewCluster is a Cluster that a test has for itself.
func NewCluster(t testing.TB, directives ...string) *Cluster {
	t.Helper()
	c, err := StartCluster(t.Context(), directives...)
	return own(t, c, err)
}

// NewSentinel is a primary with its replica and Sentinel that a test has for itself.
func NewSentinel(t testing.TB, directives ...string) *Sentinel {
	t.Helper()
	s, err := StartSentinel(t.Context(), directives...)
	return own(t, s, err)
}

func own[S interface{ Close() error }](t testing.TB, server S, err error) S {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}
