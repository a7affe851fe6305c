package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stemd/stem/adapters/all"
	"github.com/stemd/stem/config/env"
)

// Load reads files, and of directories every *.hcl file by name, as one configuration. get reads the environment: env("X") and the
// STEM_* variables that stand in for what the files leave out. The error is a Diagnostics when the files are wrong.
func Load(get env.Lookup, paths ...string) (*Config, error) {
	l := &loader{get: get, sources: map[string][]byte{}, defined: map[string]position{}, config: &Config{shown: &shown{}}}
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	l.config.Files = files
	var bodies []*hclsyntax.Body
	for _, file := range files {
		if body := l.parse(file); body != nil {
			bodies = append(bodies, body)
		}
	}
	for _, body := range bodies {
		l.root(body)
	}
	l.finish()
	if len(l.diags) > 0 {
		return nil, l.diags
	}
	return l.config, nil
}

// loader is one Load under way.
type loader struct {
	get     env.Lookup
	sources map[string][]byte
	diags   Diagnostics
	defined map[string]position // what may be defined once over all files
	config  *Config
}

func expand(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
		if !st.IsDir() {
			files = append(files, path)
			continue
		}
		inside, err := filepath.Glob(filepath.Join(path, "*.hcl"))
		if err != nil {
			return nil, err
		}
		if len(inside) == 0 {
			return nil, fmt.Errorf("configuration: %s holds no *.hcl file", path)
		}
		slices.Sort(inside)
		files = append(files, inside...)
	}
	if len(files) == 0 {
		return nil, errors.New("configuration: no file given")
	}
	return files, nil
}

func (l *loader) parse(file string) *hclsyntax.Body {
	src, err := os.ReadFile(file)
	if err != nil {
		l.diags = append(l.diags, Diagnostic{Message: err.Error()})
		return nil
	}
	l.sources[file] = src
	parsed, diags := hclsyntax.ParseConfig(src, file, hcl.InitialPos)
	l.adopt(diags)
	if diags.HasErrors() {
		return nil
	}
	return parsed.Body.(*hclsyntax.Body)
}

// reserved are blocks and attributes of the design that this version does not act on. They are refused, never ignored.
var reserved = []string{"signing", "routing", "beat", "dashboard", "telemetry"}

// root reads the top level of one file.
func (l *loader) root(body *hclsyntax.Body) {
	b := l.open(body, "the configuration", l.config.shown)
	b.once = true
	b.reserved = reserved
	b.name("namespace", &l.config.Namespace)
	b.name("node", &l.config.Node)
	b.block("broker", func(b *block) { b.store("url", &l.config.Broker.URL) })
	b.block("results", func(b *block) {
		b.store("url", &l.config.Results.URL)
		b.duration("ttl", &l.config.ResultTTL)
	})
	b.block("records", func(b *block) { b.store("url", &l.config.Records.URL) })
	b.block("tls", l.tls)
	b.block("retention", func(b *block) {
		b.duration("dead_letters", &l.config.DeadLetters)
		b.duration("events", &l.config.Events)
	})
	b.block("worker", func(b *block) {
		w := &l.config.Worker
		b.block("autoscale", func(b *block) { b.autoscale(w) })
		b.duration("lease", &w.Lease)
		b.duration("heartbeat", &w.Heartbeat)
		b.duration("park_for", &w.ParkFor)
		b.size("max_result", &w.MaxResult)
	})
	b.block("shutdown", func(b *block) {
		b.duration("warm", &l.config.Shutdown.Warm)
		b.duration("soft_grace", &l.config.Shutdown.SoftGrace)
	})
	b.labelled("plugin", l.plugin)
	b.close()
}

// finish fills in from the environment and checks what only shows when everything is read.
func (l *loader) finish() {
	c := l.config
	for _, f := range []struct {
		value       *string
		variable    string
		block, name string
	}{
		{&c.Namespace, env.Namespace, "", "namespace"},
		{&c.Node, env.Node, "", "node"},
		{&c.Broker.URL, env.BrokerURL, "broker", "url"},
		{&c.Results.URL, env.ResultsURL, "results", "url"},
	} {
		if *f.value != "" || l.get(f.variable) == "" {
			continue
		}
		*f.value = l.get(f.variable)
		if f.name == "url" {
			if err := all.Check(*f.value); err != nil {
				l.diags = append(l.diags, Diagnostic{Message: fmt.Sprintf("%s: %v", f.variable, err)})
			}
		}
		at := c.shown
		if f.block != "" {
			at = at.once(f.block)
		}
		at.attrs = append(at.attrs, shownAttr{name: f.name, text: fmt.Sprintf("env(%q)", f.variable)})
	}
	l.finishTLS()
	if len(l.diags) > 0 {
		return
	}
	file := c.Files[0]
	if c.Broker.URL == "" {
		l.diags = append(l.diags, Diagnostic{At: file, Message: fmt.Sprintf("no store: add broker { url = \"sqlite:///path/to/stem.db\" } or set %s", env.BrokerURL)})
	}
	if len(c.Pools) == 0 {
		l.diags = append(l.diags, Diagnostic{At: file, Message: "no plugin: add plugin \"name\" { command = [\"/path/to/program\"] }"})
	}
	slices.SortFunc(c.Pools, func(a, b Pool) int { return strings.Compare(a.Host.Name, b.Host.Name) })
	owners := map[string]Pool{}
	for _, p := range c.Pools {
		for _, queue := range slices.Sorted(mapKeys(p.queues)) {
			other, taken := owners[queue]
			if !taken {
				owners[queue] = p
				continue
			}
			l.diags = append(l.diags, Diagnostic{At: p.queues[queue].String(), Message: fmt.Sprintf(
				"two pools own queue %q: plugin %q (line %d of %s) and plugin %q (line %d of %s). A queue belongs to one pool.",
				queue, other.Host.Name, other.where.line, other.where.file, p.Host.Name, p.where.line, p.where.file)})
		}
	}
}
