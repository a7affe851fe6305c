package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/stemd/stem/config"
	"github.com/stemd/stem/config/env"
	"github.com/stemd/stem/plugin/host"
)

// devConfig is the configuration of -dev: SQLite in the data directory, one pool for each plugin named.
func (p *program) devConfig() (*config.Config, error) {
	if p.data == "" {
		p.data = env.DevDir(p.env)
	}
	dir, err := filepath.Abs(p.data)
	if err != nil {
		return nil, err
	}
	p.data = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cfg := &config.Config{
		Namespace: p.env(env.Namespace), Node: p.env(env.Node),
		Broker: config.Store{URL: "sqlite://" + (&url.URL{Path: filepath.Join(dir, "stem.db")}).EscapedPath()},
	}
	names := map[string]string{}
	for _, path := range p.plugins {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		if st, err := os.Stat(abs); err != nil {
			return nil, fmt.Errorf("plugin %s: %w", path, err)
		} else if !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0 {
			return nil, fmt.Errorf("plugin %s is not a program: want an executable file", path)
		}
		name := pluginName(abs)
		if other, twice := names[name]; twice {
			return nil, fmt.Errorf("two plugins are called %q: %s and %s", name, other, path)
		}
		names[name] = path
		cfg.Pools = append(cfg.Pools, config.Pool{Host: host.Config{Name: name, Plugin: name, Command: []string{abs}}})
	}
	fmt.Fprintf(p.stdout, "stemd %s  dev mode: everything in %s, nothing leaves this machine\n", version, dir)
	return cfg, nil
}
