package config

import (
	"path/filepath"

	"github.com/stemd/stem/adapters"
	"github.com/stemd/stem/config/env"
	"github.com/zclconf/go-cty/cty"
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
	said := l.config.TLS
	l.config.TLS = env.TLS(l.get, said)
	if now := l.config.TLS.Insecure; now != said.Insecure {
		at := l.config.shown.once("tls")
		at.attrs = append(at.attrs, shownAttr{name: "allow_insecure", value: cty.BoolVal(now)})
	}
	for _, f := range []struct{ name, said, now string }{
		{"ca", said.CA, l.config.TLS.CA}, {"cert", said.Cert, l.config.TLS.Cert}, {"key", said.Key, l.config.TLS.Key},
	} {
		if f.said != f.now {
			at := l.config.shown.once("tls")
			at.attrs = append(at.attrs, shownAttr{name: f.name, value: cty.StringVal(f.now)})
		}
	}
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
