package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// endsSoon is how long before its end a certificate is told of.
const endsSoon = 14 * 24 * time.Hour

// checkContext is what programs read beside the message.
type checkContext struct {
	TLS tlsContext `json:"tls"`
}

type tlsContext struct {
	CA       string `json:"caCertificate,omitempty"`
	Cert     string `json:"clientCertificate,omitempty"`
	Insecure bool   `json:"allowInsecure"`
}

// tlsCheck looks at the files of a connection over TLS, whether or not the server can be reached: what the server thinks of them is said
// by the store's line.
func tlsCheck(t stem.TLS, now time.Time) check {
	c := check{Component: "tls", Status: "ok", Context: &checkContext{tlsContext{t.CA, t.Cert, t.Insecure}}}
	if t.Insecure {
		c.Status = "warning"
		c.Hints = append(c.Hints, "any server certificate is taken (allow_insecure, STEM_TLS_ALLOW_INSECURE): only to find a fault")
	}
	cfg, err := adapters.TLSConfig(t)
	if err != nil {
		c.Status, c.Message = "error", err.Error()
		return c
	}
	says := []string{"the system's trust roots", "no client certificate"}
	if t.CA != "" {
		says[0] = "trust root " + t.CA + c.until("trust root", firstEnd(t.CA), now)
	}
	if len(cfg.Certificates) > 0 {
		says[1] = "client certificate " + t.Cert + c.until("client certificate", cfg.Certificates[0].Leaf.NotAfter, now)
	}
	c.Message = strings.Join(says, ", ")
	return c
}

// until says when a certificate ends, and what to do when that is soon.
func (c *check) until(what string, end, now time.Time) string {
	switch left := end.Sub(now); {
	case left <= 0:
		c.Status = "error"
		c.Hints = append(c.Hints, fmt.Sprintf("the %s ended %s ago: renew it", what, ago(-left)))
	case left < endsSoon:
		if c.Status == "ok" {
			c.Status = "warning"
		}
		c.Hints = append(c.Hints, fmt.Sprintf("the %s ends in %s: renew it", what, ago(left)))
	}
	return " until " + end.Format(time.DateOnly)
}

// firstEnd is when the first of the certificates in a file ends, which has been read before.
func firstEnd(path string) (end time.Time) {
	b, _ := os.ReadFile(path)
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && (end.IsZero() || cert.NotAfter.Before(end)) {
			end = cert.NotAfter
		}
	}
	return end
}
