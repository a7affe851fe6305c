package sqlite

import (
	"errors"
	"fmt"

	"github.com/stemd/stem"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// explain turns SQLite's errors into what a person can act on, and keeps the rest.
func explain(path string, err error) error {
	var e *sqlite.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_FULL:
		return fmt.Errorf("%s: %w: free some space on its disk; what was accepted is kept: %w", path, stem.ErrStoreFull, err)
	case lib.SQLITE_READONLY:
		return fmt.Errorf("%s: %w: check the permissions of the file and its directory: %w", path, stem.ErrReadOnly, err)
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return fmt.Errorf("%s: %w: stop everything that uses it and restore a backup: %w", path, stem.ErrCorrupt, err)
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return fmt.Errorf("%s: locked by another process for over %s: find it with fuser %s: %w", path, lockPatience, path, err)
	case lib.SQLITE_CANTOPEN:
		return fmt.Errorf("%s: can not be opened: check that its directory exists and may be written: %w", path, err)
	case lib.SQLITE_IOERR:
		return fmt.Errorf("%s: the disk failed to read or write it: %w", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

func isCode(err error, code int) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == code
}
