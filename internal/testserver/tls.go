package testserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificates are files in PEM: a trust root, what it signed, and a root that signed nothing here.
type Certificates struct {
	CA                      string
	ServerCert, ServerKey   string // for 127.0.0.1 and localhost
	ClientCert, ClientKey   string
	StrangerCA, StrangerKey string
}

// StartRedisTLS starts a server that speaks only TLS and takes clients with a certificate of its root or without one; the directive
// "tls-auth-clients yes" wants one.
func StartRedisTLS(ctx context.Context, directives ...string) (*Redis, *Certificates, error) {
	d, err := newDir()
	if err != nil {
		return nil, nil, err
	}
	certs, err := NewCertificates(d.path)
	if err != nil {
		return nil, nil, errors.Join(err, d.remove())
	}
	r, err := startRedis(ctx, d.path, certs, directives)
	if err != nil {
		return nil, nil, errors.Join(err, d.remove())
	}
	r.dir = d
	return r, certs, nil
}

// NewCertificates makes a set of certificates in a directory.
func NewCertificates(dir string) (*Certificates, error) {
	ca, err := newAuthority("Stem test root")
	if err != nil {
		return nil, err
	}
	stranger, err := newAuthority("another root")
	if err != nil {
		return nil, err
	}
	c := &Certificates{CA: filepath.Join(dir, "ca.pem"), StrangerCA: filepath.Join(dir, "stranger.pem"), StrangerKey: filepath.Join(dir, "stranger.key")}
	server, err := ca.issue("server", x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	client, err := ca.issue("client", x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	c.ServerCert, c.ServerKey = filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	c.ClientCert, c.ClientKey = filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	return c, errors.Join(
		ca.write(c.CA, ""), stranger.write(c.StrangerCA, c.StrangerKey), server.write(c.ServerCert, c.ServerKey), client.write(c.ClientCert, c.ClientKey),
	)
}

// client is the configuration of the test's own client, which has every right.
func (c *Certificates) client() *tls.Config {
	pool := x509.NewCertPool()
	b, _ := os.ReadFile(c.CA)
	pool.AppendCertsFromPEM(b)
	pair, _ := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
}

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(name string) (*identity, error) {
	t := template(name)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	return sign(t, nil)
}

func (ca *identity) issue(name string, usage x509.ExtKeyUsage) (*identity, error) {
	t := template(name)
	t.ExtKeyUsage, t.KeyUsage = []x509.ExtKeyUsage{usage}, x509.KeyUsageDigitalSignature
	t.DNSNames, t.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	return sign(t, ca)
}

func template(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
}

// sign makes a certificate; without an authority it signs itself.
func sign(t *x509.Certificate, ca *identity) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parent, signer := t, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &identity{cert: cert, key: key}, err
}

// write writes the certificate and, where a path is given for it, the key.
func (id *identity) write(cert, key string) error {
	err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Raw}), 0o600)
	if err != nil || key == "" {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		return err
	}
	return os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}
