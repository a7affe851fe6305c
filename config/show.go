package config

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/all"
)

// Show prints the configuration as it was understood. Passwords are left out, and what came from env() or file() is shown as it
// was written.
func (c *Config) Show(w io.Writer) error {
	s := &shower{w: w, c: c}
	s.attr("", "namespace", c.Namespace)
	s.attr("", "node", c.Node)
	s.store("broker", c.Broker.URL)
	s.store("results", c.Results.URL)
	s.store("records", c.Records.URL)
	if c.TLS != (stem.TLS{}) {
		s.line("tls {")
		s.attr("tls", "ca", c.TLS.CA)
		s.attr("tls", "cert", c.TLS.Cert)
		s.attr("tls", "key", c.TLS.Key)
		if c.TLS.Insecure {
			s.text("tls", "allow_insecure", "true")
		}
		s.line("}")
	}
	s.line("")
	for _, p := range c.Pools {
		title, path := fmt.Sprintf("plugin %q", p.Host.Name), "plugin."+p.Host.Plugin
		if _, pool, inner := strings.Cut(p.Host.Name, "/"); inner {
			title, path = fmt.Sprintf("plugin %q pool %q", p.Host.Plugin, pool), path+".pool."+pool
		}
		s.line("%s {", title)
		s.text(path, "command", fmt.Sprintf("%q", p.Host.Command))
		s.attr(path, "sha256", p.Host.SHA256)
		if len(p.Queues) > 0 {
			var queues []string
			for _, name := range slices.Sorted(maps.Keys(p.Queues)) {
				queues = append(queues, fmt.Sprintf("%s = %d", name, p.Queues[name]))
			}
			s.text(path, "queues", "{ "+strings.Join(queues, ", ")+" }")
		}
		s.text(path, "per_process", fmt.Sprint(cmp.Or(p.Host.PerProcess, 1)))
		if p.Host.Processes.Max > 0 {
			s.text(path, "processes", fmt.Sprintf("min %d, max %d", cmp.Or(p.Host.Processes.Min, 1), p.Host.Processes.Max))
		}
		s.duration(path, "soft limit", p.Policy.Soft)
		s.duration(path, "hard limit", p.Policy.Hard)
		if p.Policy.MaxRetries != nil {
			s.text(path, "retries", fmt.Sprint(*p.Policy.MaxRetries))
		}
		if len(p.Host.Config) > 0 {
			s.config(path, string(p.Host.Config))
		}
		s.line("}")
	}
	return s.err
}

type shower struct {
	w   io.Writer
	c   *Config
	err error
}

func (s *shower) line(format string, args ...any) {
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.w, format+"\n", args...)
	}
}

// text prints a value, or the expression it came from.
func (s *shower) text(path, name, value string) {
	indent := ""
	if path != "" {
		indent = "  "
	}
	key := strings.TrimPrefix(path+"."+name, ".")
	if written, ok := s.c.written[key]; ok {
		value = written
	}
	s.line("%s%s = %s", indent, name, value)
}

func (s *shower) attr(path, name, value string) {
	if value != "" {
		s.text(path, name, fmt.Sprintf("%q", value))
	}
}

func (s *shower) duration(path, name string, d time.Duration) {
	if d > 0 {
		s.text(path, name, fmt.Sprintf("%q", d))
	}
}

func (s *shower) store(name, url string) {
	if url == "" {
		return
	}
	shown := fmt.Sprintf("%q", all.Redact(url))
	if written, ok := s.c.written[name+".url"]; ok {
		shown = written
	}
	s.line("%s { url = %s }", name, shown)
}

// config prints the plugin's own block, unless part of it came from elsewhere.
func (s *shower) config(path, doc string) {
	for key := range s.c.written {
		if strings.HasPrefix(key, path+".config.") {
			doc = "(holds values from env() or file(), not shown)"
		}
	}
	s.line("  config = %s", doc)
}
