package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/stemd/stem/config"
)

func (p *program) configCommand() *cobra.Command {
	load := func(args []string) (*config.Config, error) {
		cfg, err := config.Load(p.env, args...)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		return cfg, nil
	}
	validate := &cobra.Command{
		Use: "validate FILE|DIR …", Short: "Check a daemon's configuration", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := load(args)
			if err != nil {
				return err
			}
			if p.json {
				return p.document(map[string]any{"valid": true, "files": cfg.Files, "pools": len(cfg.Pools)})
			}
			p.printf("valid: %s from %s\n", plural(len(cfg.Pools), "pool"), strings.Join(cfg.Files, ", "))
			return nil
		},
	}
	show := &cobra.Command{
		Use: "show FILE|DIR …", Short: "Print a daemon's configuration as it is understood, without secrets", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := load(args)
			if err != nil {
				return err
			}
			if !p.json {
				return cfg.Show(p.stdout)
			}
			doc, err := cfg.Document()
			if err != nil {
				return err
			}
			return p.document(doc)
		},
	}
	return group("config", "Check and show a daemon's configuration", validate, show)
}
