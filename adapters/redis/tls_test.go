package redis_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/internal/testserver"
)

// TestAServerThatIsSlowWithTLSIsNotTakenForOneWithout lets the first connection through only when the server is asked without TLS.
func TestAServerThatIsSlowWithTLSIsNotTakenForOneWithout(t *testing.T) {
	t.Parallel()
	server, certs := testserver.NewRedisTLS(t)
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var passing sync.WaitGroup
	asked := make(chan struct{})
	passing.Go(func() {
		for n := 0; ; n++ {
			in, err := listen.Accept()
			if err != nil {
				return
			}
			if n == 1 {
				close(asked)
			}
			passing.Go(func() {
				defer in.Close()
				select {
				case <-asked:
				case <-t.Context().Done():
					return
				}
				out, err := net.Dial("tcp", server.Addr)
				if err != nil {
					return
				}
				defer out.Close()
				passing.Go(func() {
					_, _ = io.Copy(out, in)
					_ = out.Close()
				})
				_, _ = io.Copy(in, out)
			})
		}
	})
	t.Cleanup(func() {
		_ = listen.Close()
		passing.Wait()
	})
	roundTrip(t, open(t, strings.Replace(server.URL(), server.Addr, listen.Addr().String(), 1), stem.WithTLS(stem.TLS{CA: certs.CA})))
	select {
	case <-asked:
	default:
		t.Error("nothing was asked")
	}
}

// TestAServerThatClosesTLSConnectionsMayWantACertificate resets each connection, as it looks where the alert that says so is overtaken.
func TestAServerThatClosesTLSConnectionsMayWantACertificate(t *testing.T) {
	t.Parallel()
	_, certs := testserver.NewRedisTLS(t)
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var resetting sync.WaitGroup
	resetting.Go(func() {
		for {
			c, err := listen.Accept()
			if err != nil {
				return
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = listen.Close()
		resetting.Wait()
	})
	_, err = redis.Open(t.Context(), "rediss://"+listen.Addr().String(), stem.WithTLS(stem.TLS{CA: certs.CA}))
	if err == nil || !strings.Contains(err.Error(), "if it wants a client certificate, name it with cert and key (STEM_TLS_CLIENT_CERT") {
		t.Errorf("error %v", err)
	}
}
