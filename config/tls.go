package config

import (
	"path/filepath"

	"github.com/stemd/stem/adapters"
	"github.com/stemd/stem/config/env"
)

// tls reads the tls block. Its paths are relative to the configuration file.
func (l *loader) tls(b *block) {
	path := func(name string, dst *string) {
		if a := b.text(name, dst); a != nil && !filepath.IsAbs(*dst) {
			*dst = filepath.Join(filepath.Dir(a.SrcRange.Filename), *dst)
		}
	}
	t := &l.config.TLS
	path("ca", &t.CA)
	path("cert", &t.Cert)
	path("key", &t.Key)
	b.boolean("allow_insecure", func(v bool) { t.Insecure = v })
}

// finishTLS adds what the environment says, and reads the files: a mistake in them is one of the configuration.
func (l *loader) finishTLS() {
	l.config.TLS = env.TLS(l.get, l.config.TLS)
	if len(l.diags) > 0 {
		return
	}
	if _, err := adapters.TLSConfig(l.config.TLS); err != nil {
		at := l.config.Files[0]
		if block, ok := l.defined["tls"]; ok {
			at = block.String()
		}
		l.diags = append(l.diags, Diagnostic{At: at, Message: err.Error()})
	}
}
