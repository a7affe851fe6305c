package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stemd/stem"
)

var _ stem.FileStore = (*broker)(nil)

const (
	// maxProblems is how much of what is wrong with a file is said.
	maxProblems = 100
	// vacuumSlice is how many pages one transaction gives back, 8 MiB; other writers go in between.
	vacuumSlice = 2000
)

// Check implements stem.FileStore. It reads on one connection, beside whoever writes.
func (b *broker) Check(ctx context.Context) (problems []string, err error) {
	for _, query := range []string{
		fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems),
		"SELECT 'task ' || id || ' is in a queue that has no name' FROM tasks WHERE queue NOT IN (SELECT id FROM queues) LIMIT 100",
		"SELECT 'member ' || task || ' belongs to no group' FROM members WHERE grp NOT IN (SELECT seq FROM groups) LIMIT 100",
	} {
		err := b.scan(ctx, query, func(rows *sql.Rows) error {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			if line != "ok" {
				problems = append(problems, line)
			}
			return nil
		})
		if err != nil {
			return problems, b.readErr("check", err)
		}
	}
	return problems, nil
}

// Vacuum implements stem.FileStore. The size is that of the file and its log.
func (b *broker) Vacuum(ctx context.Context) (before, after int64, err error) {
	if before, err = b.size(); err != nil {
		return 0, 0, err
	}
	for left := int64(1); left > 0; {
		err := b.writeFor(ctx, "vacuum", 0, func(tx *tx) error {
			rows, err := tx.rows(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumSlice))
			if err != nil {
				return err
			}
			if err := drain(rows, func(*sql.Rows) error { return nil }); err != nil { // it works a page a step
				return err
			}
			return tx.row("PRAGMA freelist_count").Scan(&left)
		})
		if err != nil {
			return before, before, err
		}
	}
	if err := b.writer.checkpoint(ctx); err != nil { // the file shrinks when the log goes into it
		return before, before, fmt.Errorf("sqlite: vacuum: %w", err)
	}
	after, err = b.size()
	return before, after, err
}

// size is that of the database and what its log holds beside it.
func (b *broker) size() (int64, error) {
	var sum int64
	for _, name := range []string{b.path, b.path + "-wal"} {
		st, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("sqlite: %w", err)
		}
		sum += st.Size()
	}
	return sum, nil
}

// Backup implements stem.FileStore. The copy is complete once it has its name: it is written beside it first.
func (b *broker) Backup(ctx context.Context, path string) (err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("sqlite: backup: %s exists: name a file that does not", path)
	}
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600; VACUUM INTO takes an empty file
	if err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	defer func() {
		if gone := os.Remove(part.Name()); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	if err := part.Close(); err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	stmt, err := b.stmts.get(ctx, "VACUUM INTO ?")
	if err == nil {
		_, err = stmt.ExecContext(ctx, part.Name())
	}
	if err == nil {
		err = syncFile(part.Name())
	}
	if err != nil {
		return b.readErr("backup", err)
	}
	// Link and not Rename: a file that came to be meanwhile is not replaced.
	if err := os.Link(part.Name(), path); err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
