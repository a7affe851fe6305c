package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
)

func (p *program) dbCommand() *cobra.Command {
	return group("db", "Look after the file of an embedded store, also while it is in use",
		p.dbCheckCommand(), p.dbVacuumCommand(), p.dbBackupCommand())
}

// withFile runs fn with the store given as an argument, a file or a URL, or else with the one every command uses.
func (p *program) withFile(cmd *cobra.Command, args []string, fn func(stem.FileStore) error) error {
	if len(args) > 0 {
		p.broker, p.results = args[0], args[0]
		if !strings.Contains(args[0], "://") {
			p.broker, p.results = "sqlite://"+args[0], "sqlite://"+args[0]
		}
	}
	return p.withStore(cmd.Context(), false, func(store stem.Store) error {
		file, ok := store.Broker.(stem.FileStore)
		if !ok {
			return usageError("%s is no file of this host: its server has tools of its own", store.Info.URL)
		}
		return fn(file)
	})
}

func (p *program) dbCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE|URL]", Short: "Read the whole file and say what is wrong with it", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withFile(cmd, args, func(file stem.FileStore) error {
				problems, err := file.Check(cmd.Context())
				if err != nil {
					return err
				}
				if p.json {
					if problems == nil {
						problems = []string{}
					}
					if err := p.document(map[string]any{"sound": len(problems) == 0, "problems": problems}); err != nil {
						return err
					}
				}
				if len(problems) > 0 {
					if !p.json {
						for _, line := range problems {
							p.printf("%s\n", line)
						}
					}
					return fmt.Errorf("%s found: stop everything that uses the file and restore a backup", plural(len(problems), "problem"))
				}
				if !p.json {
					p.printf("sound\n")
				}
				return nil
			})
		},
	}
}

func (p *program) dbVacuumCommand() *cobra.Command {
	return &cobra.Command{
		Use: "vacuum [FILE|URL]", Short: "Give unused space back to the disk, a slice at a time", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withFile(cmd, args, func(file stem.FileStore) error {
				before, after, err := file.Vacuum(cmd.Context())
				if err != nil {
					return err
				}
				if p.json {
					return p.document(map[string]any{"bytesBefore": before, "bytesAfter": after})
				}
				p.printf("%s before, %s now\n", bytesText(before), bytesText(after))
				return nil
			})
		},
	}
}

func (p *program) dbBackupCommand() *cobra.Command {
	var from string
	c := &cobra.Command{
		Use: "backup TO", Short: "Write a copy as of this moment to a new file", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var source []string
			if from != "" {
				source = []string{from}
			}
			return p.withFile(cmd, source, func(file stem.FileStore) error {
				if err := file.Backup(cmd.Context(), args[0]); err != nil {
					return err
				}
				if p.json {
					return p.document(map[string]any{"backup": args[0]})
				}
				p.printf("written to %s: to use it, stop the daemon and put it in the file's place, without the old -wal and -shm\n", args[0])
				return nil
			})
		},
	}
	c.Flags().StringVar(&from, "from", "", "file or URL to copy (default: the store every command uses)")
	return c
}

// bytesText is a size for people.
func bytesText(n int64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}
