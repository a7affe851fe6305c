package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

const (
	// suspectAfter is how long a first connection over TLS may take before it is asked whether the server speaks TLS at all.
	suspectAfter = time.Second
	// plainPatience is how long the answer to that may take.
	plainPatience = 3 * time.Second
)

var errPlain = errors.New("it answers without TLS")

// secure reads the certificates of a store whose URL asks for TLS.
func (t *target) secure(files stem.TLS) error {
	if t.options.TLSConfig == nil {
		return nil
	}
	var err error
	t.options.TLSConfig, err = adapters.TLSConfig(files)
	return err
}

// greet is version for the first connection. A server without TLS takes a handshake for the beginning of a command, and both would wait for
// each other: so when it takes long, it is asked without TLS. It is told nothing but PING.
func (d *db) greet(ctx context.Context, addr string) (string, error) {
	if !d.encrypted {
		return d.version(ctx)
	}
	asking, stop := context.WithCancelCause(ctx)
	var both sync.WaitGroup
	both.Go(func() {
		suspect := time.NewTimer(suspectAfter)
		defer suspect.Stop()
		select {
		case <-suspect.C:
			if answersPlain(asking, addr) {
				stop(errPlain)
			}
		case <-asking.Done():
		}
	})
	version, err := d.version(asking)
	if cause := context.Cause(asking); err != nil && errors.Is(cause, errPlain) {
		err = cause
	}
	stop(nil)
	both.Wait()
	return version, err
}

// answersPlain says whether a Redis server at addr answers without TLS. One with TLS closes the connection or sends an alert.
func answersPlain(ctx context.Context, addr string) bool {
	dialer := net.Dialer{Timeout: plainPatience}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(plainPatience)) // without one the read ends with ctx
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	var first [1]byte
	_, err = conn.Read(first[:])
	return err == nil && (first[0] == '+' || first[0] == '-') // PONG, or that we are nobody
}

// wrapOpen is wrap for the first connection.
func (d *db) wrapOpen(ctx context.Context, err error) error {
	if d.encrypted && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("redis: open: %s: no TLS handshake within %s: is it a Redis server? If it does not speak TLS at this port, use its TLS port, or redis://: %w",
			d.info, dialTimeout, err)
	}
	if d.encrypted && brokeOff(err) { // its word on certificates comes behind the handshake, and is lost where a reset overtakes it
		shown := ""
		if d.opts.TLS.Cert != "" {
			shown = " of its root, not that in " + d.opts.TLS.Cert
		}
		return fmt.Errorf("redis: open: %s: the server closed the connection: if it wants a client certificate%s, name it with cert and key (STEM_TLS_CLIENT_CERT, STEM_TLS_CLIENT_KEY): %w",
			d.info, shown, err)
	}
	if !d.encrypted && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		return fmt.Errorf("redis: open: %s: the server closed the connection: if it speaks only TLS, use rediss://: %w", d.info, err)
	}
	return d.wrap("open", err)
}

// adviseTLS is what to do about an error of the connection's encryption; empty: it is no such error.
func adviseTLS(err error, files stem.TLS) string {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		host      x509.HostnameError
		plain     tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority) && files.CA != "":
		return fmt.Sprintf("the server's certificate is not signed by the root in %s: name its own with ca (STEM_TLS_CA_CERT)", files.CA)
	case errors.As(err, &authority):
		return "the server's certificate is signed by nobody we trust: name its root with ca (STEM_TLS_CA_CERT)"
	case errors.As(err, &host):
		return "the server's certificate is for another host name: use a name that it holds"
	case errors.As(err, &invalid):
		return "the server's certificate is not valid: look at its dates and at the clocks"
	case errors.As(err, &plain), errors.Is(err, errPlain):
		return "the server does not speak TLS at this port: use its TLS port, or redis://"
	case strings.Contains(err.Error(), "tls: certificate required"), strings.Contains(err.Error(), "tls: bad certificate"),
		strings.Contains(err.Error(), "tls: unknown certificate authority"):
		if files.Cert != "" {
			return fmt.Sprintf("the server does not take the client certificate in %s: name one of its root with cert and key (STEM_TLS_CLIENT_CERT, STEM_TLS_CLIENT_KEY)", files.Cert)
		}
		return "the server wants a client certificate of its root: name it with cert and key (STEM_TLS_CLIENT_CERT, STEM_TLS_CLIENT_KEY)"
	}
	return ""
}
