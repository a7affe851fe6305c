package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// secure reads the certificates of a store whose URL asks for TLS.
func (t *target) secure(files stem.TLS) error {
	if t.options.TLSConfig == nil {
		return nil
	}
	var err error
	t.options.TLSConfig, err = adapters.TLSConfig(files)
	return err
}

// wrapOpen is wrap for the first connection. A server without TLS waits for the end of what it takes for a command, and so do we.
func (d *db) wrapOpen(ctx context.Context, err error) error {
	if d.encrypted && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("redis: open: %s: no TLS handshake within %s: if the server does not speak TLS at this port, use its TLS port, or redis://: %w",
			d.info, dialTimeout, err)
	}
	return d.wrap("open", err)
}

// adviseTLS is what to do about an error of the connection's encryption; empty: it is no such error.
func (d *db) adviseTLS(err error) string {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		host      x509.HostnameError
		plain     tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		return "the server's certificate is signed by nobody we trust: name its root with ca (STEM_TLS_CA_CERT)"
	case errors.As(err, &host):
		return "the server's certificate is for another host name: use a name that it holds"
	case errors.As(err, &invalid):
		return "the server's certificate is not valid: look at its dates and at the clocks"
	case errors.As(err, &plain):
		return "the server does not speak TLS at this port: use its TLS port, or redis://"
	case strings.Contains(err.Error(), "tls: certificate required"), strings.Contains(err.Error(), "tls: bad certificate"),
		strings.Contains(err.Error(), "tls: unknown certificate authority"):
		return "the server wants a client certificate of its root: name it with cert and key (STEM_TLS_CLIENT_CERT, STEM_TLS_CLIENT_KEY)"
	case !d.encrypted && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return "the server closed the connection: if it speaks only TLS, use rediss://"
	}
	return ""
}
