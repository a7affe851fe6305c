package adapters

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/stemd/stem"
)

// TLSConfig reads the files of t. Its errors name the file and the settings that led to it, never what is inside.
func TLSConfig(t stem.TLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.Insecure}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls: trust root (ca, STEM_TLS_CA_CERT): %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls: trust root (ca, STEM_TLS_CA_CERT): %s holds no certificate in PEM", t.CA)
		}
	}
	if t.Cert == "" && t.Key == "" {
		return c, nil
	}
	if t.Cert == "" || t.Key == "" {
		return nil, errors.New("tls: a client certificate needs both cert (STEM_TLS_CLIENT_CERT) and key (STEM_TLS_CLIENT_KEY)")
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: client certificate %s (cert, STEM_TLS_CLIENT_CERT) with key %s (key, STEM_TLS_CLIENT_KEY): %w", t.Cert, t.Key, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
