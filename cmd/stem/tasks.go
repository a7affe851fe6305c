package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/stemd/stem"
)

func (p *program) tasksCommand() *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "List the tasks that plugins declare", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withStore(cmd.Context(), false, func(store stem.Store) error {
				declared, err := stem.NewClient(store).Declared(cmd.Context())
				if err != nil {
					return err
				}
				specs := slices.SortedFunc(maps.Values(declared), func(a, b stem.TaskSpec) int { return cmp.Compare(a.Name, b.Name) })
				return p.listSpecs(specs)
			})
		},
	}
	return group("tasks", "The tasks that plugins declare", ls)
}

func (p *program) listSpecs(specs []stem.TaskSpec) error {
	if p.json {
		type item struct {
			Name        string   `json:"name"`
			Description string   `json:"description"`
			Idempotent  bool     `json:"idempotent"`
			Exclusive   bool     `json:"exclusive"`
			Tags        []string `json:"tags"`
			Queue       string   `json:"queue"`
			MaxRetries  int      `json:"maxRetries"`
			Priority    int      `json:"priority"`
		}
		items := make([]item, 0, len(specs))
		for _, s := range specs {
			items = append(items, item{s.Name, s.Description, s.Idempotent, s.Exclusive, append([]string{}, s.Tags...), s.Queue, s.MaxRetries, s.Priority})
		}
		return p.document(items)
	}
	if len(specs) == 0 {
		p.printf("No tasks registered.\n")
		return nil
	}
	rows := make([][]string, 0, len(specs))
	for _, s := range specs {
		idempotent := "no"
		if s.Idempotent {
			idempotent = "yes"
		}
		rows = append(rows, []string{s.Name, dash(s.Description), idempotent, dash(strings.Join(s.Tags, ",")), dash(s.Queue), fmt.Sprint(s.MaxRetries)})
	}
	return p.table([]string{"NAME", "DESCRIPTION", "IDEMPOTENT", "TAGS", "QUEUE", "RETRIES"}, rows)
}
